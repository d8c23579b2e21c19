import { referenceBackend } from '@pare/backend-reference';
import { createRandom, type Backend, type ModuleInfo, type TargetModule, type UnsupportedOperator } from '@pare/core';
import { hostProducts, multiplyTransposed, transposed, truncatedSvd } from '@pare/solvers';
import { describe, expect, it } from 'vitest';
import { backendProducts, balanceFactors, checkFactorizable, factorBits, factorsOf, keptDense, largestSavingRank, matrixBits, planFactorized, rankOf, type RankOptions } from './index.js';

const { signal } = new AbortController();
const defaults: RankOptions = { by: 'ratio', ratio: 0.8, energy: 0.95, rank: 64, multipleOf: 1 };

function target(shape: readonly [number, number], options: Partial<RankOptions> = {}, kind: ModuleInfo['kind'] = 'linear'): TargetModule<RankOptions> {
  const info = { name: 'layer', kind, role: 'mlp.up', block: 0, expert: undefined, step: 0, shape, layout: 'out-in', dtype: 'bfloat16', bias: false, sharedWith: undefined, form: 'dense' } as const;
  return { info, options: { ...defaults, ...options } };
}

describe('ranks', () => {
  it('follow from the ratio of stored numbers', () => {
    const { info, options } = target([100, 50], { ratio: 0.6 });
    expect(rankOf(info, options)).toBe(Math.floor((0.6 * 100 * 50) / 150));
    expect(factorBits(info, 20) / matrixBits(info)).toBeCloseTo(0.6);
  });

  it('pay up to the last one that is smaller than the matrix', () => {
    const { info } = target([100, 50]);
    const largest = largestSavingRank(info);
    expect(factorBits(info, largest)).toBeLessThan(matrixBits(info));
    expect(factorBits(info, largest + 1)).toBeGreaterThanOrEqual(matrixBits(info));
  });

  it('that make nothing smaller leave a matrix dense, and all of them are refused', () => {
    const [large, small] = [target([64, 64], { by: 'rank', rank: 40 }), target([512, 512], { by: 'rank', rank: 40 })];
    expect(planFactorized('svd', [large, small]).map(({ produces, rank }) => [produces, rank])).toEqual([
      ['dense', undefined],
      ['factorized', 40],
    ]);
    expect(() => planFactorized('svd', [large])).toThrow(expect.objectContaining({ code: 'PARE_TARGET_REFUSED' }));
    expect(keptDense(large.info, 40)).toMatch(/rank 40 makes two factors of \[64, 64\] no smaller than the matrix/);
  });

  it('are refused for embeddings, which are looked up', () => {
    expect(checkFactorizable(target([64, 64], {}, 'embedding'))).toMatch(/looked up row by row/);
  });
});

describe('factors', () => {
  const random = createRandom(5);
  const matrix = { data: Float64Array.from({ length: 24 * 16 }, () => random() - 0.5), rows: 24, columns: 16 };

  it('lose what their loss says, and their product survives balancing', async () => {
    await using backend = await Promise.resolve(referenceBackend.create({}, { log: console }));
    await using products = backendProducts(backend);
    const factors = (await factorsOf(matrix, target([24, 16], { by: 'rank', rank: 5 }), { products, signal }))!;
    const product = (): Float64Array =>
      Float64Array.from({ length: 24 * 16 }, (_, index) => {
        const [row, column] = [Math.floor(index / 16), index % 16];
        let sum = 0;
        for (let k = 0; k < 5; k++) sum += factors.left.data[row * 5 + k]! * factors.right.data[k * 16 + column]!;
        return sum;
      });
    const before = product();
    expect(before.reduce((sum, value, index) => sum + (value - matrix.data[index]!) ** 2, 0)).toBeCloseTo(factors.loss, 10);
    balanceFactors(factors);
    product().forEach((value, index) => {
      expect(value).toBeCloseTo(before[index]!, 12);
    });
  });
});

describe('products on a backend', () => {
  const random = createRandom(6);
  const entries = (count: number): Float64Array => Float64Array.from({ length: count }, () => random() - 0.5);
  const matrix = { data: Float32Array.from(entries(300 * 260)), rows: 300, columns: 260 };
  const distance = (a: Float64Array, b: Float64Array): number => a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
  const noFloat64 = (graph: Parameters<NonNullable<Backend['fallbacks']>>[0]): UnsupportedOperator[] =>
    graph.inputs.some(({ dtype }) => dtype === 'float64') ? [{ operator: 'Gemm', domain: '', node: 'product', reason: 'no float64' }] : [];

  it('are those of the calling thread, and leave nothing there', async () => {
    await using backend = await Promise.resolve(referenceBackend.create({}, { log: console }));
    await using products = backendProducts(backend);
    const [x, y] = [{ data: entries(3 * 260), rows: 3, columns: 260 }, { data: entries(3 * 300), rows: 3, columns: 300 }];
    await products.with(matrix, signal, async ({ precision, times, timesTransposed }) => {
      expect(precision).toBe('float64');
      expect(distance((await timesTransposed(x)).data, (await multiplyTransposed(x, matrix)).data)).toBeLessThan(1e-13);
      expect(distance((await times(y)).data, (await multiplyTransposed(y, transposed(matrix))).data)).toBeLessThan(1e-13);
      // The caller's vectors stay as they are.
      expect(x.data).toHaveLength(780);
    });
    expect(backend.memory().tensors).toBe(0);
  });

  it('in float32, where a backend computes in nothing more, lose nothing of what the decomposition says of itself', async () => {
    await using whole = await Promise.resolve(referenceBackend.create({}, { log: console }));
    const backend = new Proxy(whole, { get: (target, name) => (name === 'fallbacks' ? noFloat64 : typeof Reflect.get(target, name) === 'function' ? (Reflect.get(target, name) as () => unknown).bind(target) : Reflect.get(target, name)) });
    await using products = backendProducts(backend);
    const exact = await truncatedSvd(matrix, { rank: 20 });
    const found = await products.with(matrix, signal, (device) => {
      expect(device.precision).toBe('float32');
      return truncatedSvd(matrix, { rank: 20, products: device });
    });
    const { left, values, right } = found;
    const scaled = { ...left, data: left.data.map((value, index) => value * values[index % 20]!) };
    const product = await multiplyTransposed(scaled, transposed(right));
    const error = Math.sqrt(product.data.reduce((sum, value, index) => sum + (value - matrix.data[index]!) ** 2, 0));
    expect(Math.abs(error / found.error - 1)).toBeLessThan(1e-12);
    expect(Math.abs(found.error / exact.error - 1)).toBeLessThan(1e-6);
    expect(distance((await multiplyTransposed(right, right)).data, Float64Array.from({ length: 400 }, (_, index) => (index % 21 === 0 ? 1 : 0)))).toBeLessThan(1e-13);
  });

  it('of small matrices stay with the calling thread', async () => {
    await using backend = await Promise.resolve(referenceBackend.create({}, { log: console }));
    await using products = backendProducts(backend);
    const [small, x] = [{ data: entries(12), rows: 3, columns: 4 }, { data: entries(8), rows: 2, columns: 4 }];
    const { data } = await products.with(small, signal, ({ timesTransposed }) => timesTransposed(x));
    expect(data).toEqual((await hostProducts(small).timesTransposed(x)).data);
    expect(backend.memory().peakBytes).toBe(0);
  });
});
