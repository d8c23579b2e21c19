import type { ModuleInfo, TargetModule } from '@pare/core';
import { createRandom } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { balanceFactors, checkFactorizable, factorBits, factorsOf, keptDense, largestSavingRank, matrixBits, planFactorized, rankOf, type RankOptions } from './index.js';

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
    const factors = (await factorsOf(matrix, target([24, 16], { by: 'rank', rank: 5 }), new AbortController().signal))!;
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
