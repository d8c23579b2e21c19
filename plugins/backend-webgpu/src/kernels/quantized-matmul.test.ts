import { checkQuantizedMatMul } from '@pare/conformance';
import type { DeviceTraits, QuantizedMatMulRequest } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { quantizedMatMul, tiledVariants, type MatMulChoice } from './matmul.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

const smallest = tiledVariants.find(({ tileM }) => tileM === 32)!;

const check = (request: QuantizedMatMulRequest, traits: DeviceTraits = guaranteedTraits, choice: MatMulChoice = {}): Promise<void> =>
  checkQuantizedMatMul(gpu.runner, (asked) => quantizedMatMul(asked, traits, choice), request);

describe.each([4, 8] as const)('codes of %i bits', (bits) => {
  it.each([true, false])('with zeros and bias %s', async (given) => {
    const rest = { bits, zeros: given, bias: given };
    await check({ m: 1, n: 1, k: 1, blockSize: 16, ...rest });
    await check({ m: 1, n: 37, k: 160, blockSize: 32, ...rest });
    await check({ m: 3, n: 18, k: 77, blockSize: 16, ...rest });
    await check({ m: 33, n: 35, k: 100, blockSize: 32, ...rest }, guaranteedTraits, { kernel: smallest });
    await check({ m: 20, n: 12, k: 300, blockSize: 128, ...rest });
  });

  it('cut into windows and slices', async () => {
    const rest = { bits, zeros: true, bias: true };
    await check({ m: 2, n: 40, k: 2000, blockSize: 16, ...rest }, guaranteedTraits, { splits: 3 });
    await check({ m: 20, n: 70, k: 1000, blockSize: 64, ...rest }, { ...tinyTraits, maximumBinding: 8192 }, { kernel: smallest });
    await check({ m: 3, n: 9, k: 9000, blockSize: 16, ...rest }, { ...tinyTraits, maximumBinding: 8192 });
  });
});

it('writes the bias when there is nothing to sum', () => check({ m: 2, n: 3, k: 0, bits: 4, blockSize: 16, zeros: false, bias: true }));

it('has nothing to do without rows', () => {
  expect(quantizedMatMul({ m: 0, n: 3, k: 4, bits: 4, blockSize: 16, zeros: false, bias: false }, guaranteedTraits).dispatches).toEqual([]);
});
