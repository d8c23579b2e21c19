import { checkFarActivation, checkMatMul, matMulRequest } from '@pare/conformance';
import type { DeviceTraits, MatMulRequest } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { fits, matMul, tiledVariants, variantName, type MatMulChoice } from './matmul.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

const check = (changes: Partial<MatMulRequest>, traits: DeviceTraits = guaranteedTraits, choice: MatMulChoice = {}): Promise<void> =>
  checkMatMul(gpu.runner, (request) => matMul(request, traits, choice), changes);

const smallest = tiledVariants.find(({ tileM }) => tileM === 32)!;
const orders = [false, true].flatMap((transposeA) => [false, true].map((transposeB) => ({ transposeA, transposeB })));

it.each(tiledVariants.map((variant) => ({ name: variantName(variant), variant })))('the tiles of $name fit workgroup memory of 32 KiB', ({ variant }) => {
  expect(fits(variant, { ...guaranteedTraits, workgroupMemory: 32_768 })).toBe(true);
});

it('takes orders and loads by four with the smallest tiles', async () => {
  for (const order of orders) {
    for (const size of [{ m: 135, n: 138, k: 37 }, { m: 132, n: 136, k: 36 }]) await check({ ...size, ...order }, guaranteedTraits, { kernel: smallest, splits: 1 });
  }
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
      await checkFarActivation(gpu.runner, (request) => matMul(request, guaranteedTraits), activation);
    }
  });

  it('is silent about nothing', () => {
    for (const empty of [{ m: 0 }, { n: 0 }, { batch: 0 }]) {
      expect(matMul(matMulRequest({ m: 3, n: 3, k: 3, ...empty }), guaranteedTraits).dispatches).toEqual([]);
    }
  });

  it('writes zeros when there is nothing to sum', () => check({ m: 40, n: 50, k: 0 }));
});
