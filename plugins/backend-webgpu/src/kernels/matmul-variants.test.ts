import { checkMatMul } from '@pare/conformance';
import { afterAll, it, vi } from 'vitest';
import { matMul, tiledVariants, variantName } from './matmul.js';
import { guaranteedTraits, testDevice } from './testing.js';

// The largest tiles unroll into kernels that a software device compiles for half a minute each.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

// Orders and loads by four are independent of tile sizes: the smallest tiles see all combinations (matmul.test.ts), the others one each.
const requests = [false, true].flatMap((transposeA) =>
  [false, true].flatMap((transposeB) => [
    { m: 135, n: 138, k: 37, transposeA, transposeB },
    { m: 132, n: 136, k: 36, transposeA, transposeB },
  ]),
);

it.each(tiledVariants.map((variant, index) => ({ name: variantName(variant), variant, request: requests[(3 * index) % requests.length]! })))('$name', ({ variant, request }) => checkMatMul(gpu.runner, (given) => matMul(given, guaranteedTraits, { kernel: variant, splits: 1 }), request));
