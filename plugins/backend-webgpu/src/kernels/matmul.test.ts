import { relativeError, runProgram } from '@pare/conformance';
import { createRandom } from '@pare/core';
import type { DeviceTraits, MatMulRequest } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { fits, matMul, tiledVariants, variantName, type MatMulChoice } from './matmul.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

function request(changes: Partial<MatMulRequest>): MatMulRequest {
  const { m = 1, n = 1, k = 1, batch = 1 } = changes;
  return { m, n, k, batch, aBatchStride: m * k, bBatchStride: k * n, transposeA: false, transposeB: false, alpha: 1, ...changes };
}

function random(count: number, seed: number): Float32Array {
  const next = createRandom(seed);
  return Float32Array.from({ length: count }, () => next() + next() - 1);
}

const activate: Readonly<Record<NonNullable<MatMulRequest['activation']>, (x: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  // Φ by Simpson's rule: independent of any formula that kernels use.
  gelu: (x) => {
    let sum = 0;
    for (let i = 0; i <= 400; i++) sum += Math.exp(-((x * (i / 400)) ** 2) / 2) * (i === 0 || i === 400 ? 1 : i % 2 === 1 ? 4 : 2);
    return x * (0.5 + ((x / 1200) * sum) / Math.sqrt(2 * Math.PI));
  },
  'gelu-tanh': (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** The product as its formula has it, in float64. */
function expected(r: MatMulRequest, a: Float32Array, b: Float32Array, c: Float32Array): Float64Array {
  const y = new Float64Array(r.batch * r.m * r.n);
  for (let p = 0; p < r.batch; p++) {
    for (let i = 0; i < r.m; i++) {
      for (let j = 0; j < r.n; j++) {
        let sum = 0;
        for (let l = 0; l < r.k; l++) {
          sum +=
            a[p * r.aBatchStride + (r.transposeA ? l * r.m + i : i * r.k + l)]! * b[p * r.bBatchStride + (r.transposeB ? j * r.k + l : l * r.n + j)]!;
        }
        sum *= r.alpha;
        if (r.addend !== undefined) {
          const { beta, rowStride, columnStride, batchStride } = r.addend;
          sum += beta * c[p * batchStride + i * rowStride + j * columnStride]!;
        }
        y[(p * r.m + i) * r.n + j] = r.activation === undefined ? sum : activate[r.activation](sum);
      }
    }
  }
  return y;
}

async function check(changes: Partial<MatMulRequest>, traits: DeviceTraits = guaranteedTraits, choice: MatMulChoice = {}): Promise<void> {
  const r = request(changes);
  const a = random((r.batch - 1) * r.aBatchStride + r.m * r.k, 1);
  const b = random((r.batch - 1) * r.bBatchStride + r.k * r.n, 2);
  const { addend } = r;
  const c = random(addend === undefined ? 1 : (r.batch - 1) * addend.batchStride + (r.m - 1) * addend.rowStride + (r.n - 1) * addend.columnStride + 1, 3);
  const y = new Float32Array(r.batch * r.m * r.n).fill(NaN);
  await runProgram(gpu.runner, matMul(r, traits, choice), { a, b, c, y });
  // Rounding of a sum of k terms grows as its root; inputs are of size 0.4.
  expect(relativeError(y, expected(r, a, b, c))).toBeLessThan(2e-6 + 1e-7 * Math.sqrt(r.k));
}

const smallest = tiledVariants.find(({ tileM }) => tileM === 32)!;
const orders = [false, true].flatMap((transposeA) => [false, true].map((transposeB) => ({ transposeA, transposeB })));

describe('every variant of the tiled kernel', () => {
  // Orders are independent of tile sizes: the small tiles see all of them, the others one each.
  it.each(tiledVariants.map((variant, index) => ({ name: variantName(variant), variant, orders: variant.tileM === 32 ? orders : [orders[index % 4]!] })))(
    '$name',
    async ({ variant, orders: chosen }) => {
      expect(fits(variant, { ...guaranteedTraits, workgroupMemory: 32_768 })).toBe(true);
      for (const order of chosen) {
        await check({ m: 35, n: 70, k: 37, ...order }, guaranteedTraits, { kernel: variant, splits: 1 });
        await check({ m: 132, n: 136, k: 36, ...order }, guaranteedTraits, { kernel: variant, splits: 1 });
      }
    },
  );
});

describe.each(orders)('transposeA $transposeA, transposeB $transposeB', (order) => {
  const sizes = [
    [1, 1, 1],
    [1, 64, 128],
    [1, 7, 1025],
    [2, 131, 64],
    [3, 33, 77],
    [5, 140, 40],
    [16, 16, 16],
    [17, 1, 31],
    [33, 100, 9],
    [64, 64, 64],
    [40, 48, 700],
    [8, 12, 2000],
    [200, 3, 2],
  ] as const;
  it.each(sizes)('%i × %i over %i', (m, n, k) => check({ m, n, k, ...order }));
  it.each(sizes.filter(([m]) => m <= 16))('%i × %i over %i by few rows', (m, n, k) => check({ m, n, k, ...order }, guaranteedTraits, { kernel: 'skinny' }));
  it.each(sizes)('%i × %i over %i in windows of 64 KiB', (m, n, k) => check({ m, n, k, ...order }, tinyTraits));

  it('is cut along every axis', async () => {
    const traits = { ...tinyTraits, maximumBinding: 8192 };
    await check({ m: 40, n: 34, k: 300, ...order }, traits, { kernel: smallest });
    await check({ m: 100, n: 66, k: 20, batch: 2, ...order }, traits, { kernel: 'small' });
    await check({ m: 2, n: 5, k: 2101, ...order }, traits, { kernel: 'skinny' });
    await check({ m: 3, n: 2101, k: 3, ...order }, traits);
  });

  it('takes batches by their strides', async () => {
    await check({ m: 20, n: 24, k: 12, batch: 3, ...order });
    await check({ m: 5, n: 9, k: 12, batch: 3, aBatchStride: 0, ...order });
    await check({ m: 19, n: 9, k: 13, batch: 4, bBatchStride: 0, ...order });
    await check({ m: 2, n: 9, k: 13, batch: 4, bBatchStride: 0, ...order });
    await check({ m: 18, n: 20, k: 8, batch: 2, aBatchStride: 151, bBatchStride: 163, ...order });
  });

  it('splits long sums', async () => {
    await check({ m: 24, n: 24, k: 1101, ...order }, guaranteedTraits, { kernel: smallest, splits: 5 });
    await check({ m: 4, n: 40, k: 1500, ...order }, guaranteedTraits, { splits: 7 });
    await check({ m: 20, n: 24, k: 500, batch: 2, ...order, activation: 'relu', addend: { beta: 2, rowStride: 0, columnStride: 1, batchStride: 0 } }, guaranteedTraits, {
      kernel: smallest,
      splits: 3,
    });
  });
});

describe('what follows the product', () => {
  const shapes = [
    { m: 20, n: 21, k: 8, batch: 2 },
    { m: 3, n: 24, k: 8, batch: 2 },
    { m: 20, n: 24, k: 0, batch: 2 },
    { m: 24, n: 20, k: 1200, batch: 1 },
  ];
  const addends = [
    { name: 'a row', rowStride: 0, columnStride: 1, batchStride: 0 },
    { name: 'a column', rowStride: 1, columnStride: 0, batchStride: 0 },
    { name: 'one value', rowStride: 0, columnStride: 0, batchStride: 0 },
    { name: 'a matrix', rowStride: 24, columnStride: 1, batchStride: 0 },
    { name: 'matrices', rowStride: 24, columnStride: 1, batchStride: 24 * 24 },
    { name: 'a transposed matrix', rowStride: 1, columnStride: 24, batchStride: 600 },
  ];
  it.each(addends)('adds $name', async ({ name: _, ...strides }) => {
    for (const shape of shapes) await check({ ...shape, alpha: 0.5, addend: { beta: -1.5, ...strides } });
    await check({ m: 150, n: 24, k: 200, alpha: 0.5, addend: { beta: -1.5, ...strides } }, tinyTraits, { kernel: 'small' });
  });

  it.each(['relu', 'gelu', 'gelu-tanh', 'silu'] as const)('applies %s', async (activation) => {
    const addend = { beta: 3, rowStride: 0, columnStride: 1, batchStride: 0 };
    for (const shape of shapes) await check({ ...shape, activation, alpha: 4, addend });
    await check({ ...shapes[1], activation, alpha: 4, addend }, guaranteedTraits, { kernel: 'skinny' });
    await check({ ...shapes[0], activation, alpha: 4, addend }, guaranteedTraits, { kernel: smallest });
  });

  it('keeps activations finite far out', async () => {
    for (const activation of ['relu', 'gelu', 'gelu-tanh', 'silu'] as const) {
      const x = Float32Array.of(-1e4, -90, -20, 0, 20, 90, 1e4, 3);
      const y = new Float32Array(8);
      await runProgram(gpu.runner, matMul(request({ m: 1, n: 8, k: 1, activation }), guaranteedTraits), { a: Float32Array.of(1), b: x, y });
      expect(relativeError(y, x.map((value) => (value < -10 ? 0 : value > 10 ? value : activate[activation](value))))).toBeLessThan(1e-6);
    }
  });

  it('is silent about nothing', () => {
    for (const empty of [{ m: 0 }, { n: 0 }, { batch: 0 }]) {
      expect(matMul(request({ m: 3, n: 3, k: 3, ...empty }), guaranteedTraits).dispatches).toEqual([]);
    }
  });

  it('writes zeros when there is nothing to sum', () => check({ m: 40, n: 50, k: 0 }));
});
