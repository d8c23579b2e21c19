import { createRandom } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { divergenceStatistics } from './index.js';
import { percentile as percentileOf } from './statistics.js';

describe('divergenceStatistics', () => {
  it('is what a hand example gives', () => {
    // Two tokens: P gives them 1/2 and 1/4, Q gives them 1/4 and 1/4.
    const { perplexity, probabilityChange, divergence, topOneAgreement, tokens } = divergenceStatistics({
      divergence: Float64Array.of(0.3, 0.1),
      originalLoss: Float64Array.of(Math.log(2), Math.log(4)),
      loss: Float64Array.of(Math.log(4), Math.log(4)),
      sameTop: Uint8Array.of(0, 1),
    });
    expect(tokens).toBe(2);
    expect(divergence.mean).toBeCloseTo(0.2, 12);
    // Deviations ±0.1: σ² = 0.01, over n − 1 = 1.
    expect(divergence.standardError).toBeCloseTo(0.1, 12);
    expect(divergence).toMatchObject({ minimum: 0.1, maximum: 0.3 });
    expect(divergence.median).toBeCloseTo(0.2, 12);
    expect(divergence.percentiles['90']).toBeCloseTo(0.28, 12);
    expect(topOneAgreement).toEqual({ mean: 0.5, standardError: 0.5 });
    expect(perplexity.original.mean).toBeCloseTo(Math.sqrt(8), 12);
    expect(perplexity.model.mean).toBeCloseTo(4, 12);
    expect(perplexity.ratio.mean).toBeCloseTo(Math.SQRT2, 12);
    expect(perplexity.difference.mean).toBeCloseTo(4 - Math.sqrt(8), 12);
    // Differences of losses ln 2 and 0.
    expect(perplexity.logarithmOfRatio.mean).toBeCloseTo(Math.LN2 / 2, 12);
    expect(perplexity.logarithmOfRatio.standardError).toBeCloseTo(Math.LN2 / 2, 12);
    // Δp = −1/4 and 0.
    expect(probabilityChange.mean).toBeCloseTo(-0.125, 12);
    expect(probabilityChange.rootMeanSquare.mean).toBeCloseTo(Math.sqrt(1 / 32), 12);
  });

  it('has the errors of paired differences', () => {
    const random = createRandom(3);
    const originalLoss = Float64Array.from({ length: 500 }, () => 4 * random());
    const loss = originalLoss.map((value) => value + 0.2 * random());
    const { perplexity } = divergenceStatistics({ divergence: loss, originalLoss, loss, sameTop: new Uint8Array(500) });
    const differences = loss.map((value, index) => value - originalLoss[index]!);
    const mean = differences.reduce((sum, value) => sum + value, 0) / 500;
    const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 499;
    expect(perplexity.logarithmOfRatio.mean).toBeCloseTo(mean, 12);
    expect(perplexity.logarithmOfRatio.standardError).toBeCloseTo(Math.sqrt(variance / 500), 10);
    expect(perplexity.logarithmOfRatio.mean).toBeCloseTo(Math.log(perplexity.model.mean / perplexity.original.mean), 12);
    expect(perplexity.correlation).toBeGreaterThan(0.99);
    expect(perplexity.correlation).toBeLessThan(1);
  });

  it('of a model with itself is ratio 1 without error', () => {
    const loss = Float64Array.of(1, 2, 3);
    const { perplexity, probabilityChange } = divergenceStatistics({ divergence: new Float64Array(3), originalLoss: loss, loss, sameTop: Uint8Array.of(1, 1, 1) });
    expect(perplexity.ratio).toEqual({ mean: 1, standardError: 0 });
    expect(perplexity.correlation).toBeCloseTo(1, 12);
    expect(probabilityChange.rootMeanSquare).toEqual({ mean: 0, standardError: 0 });
  });

  it('interpolates percentiles', () => {
    const sorted = Float64Array.of(0, 10, 20, 40);
    expect([0, 50, 75, 100].map((percentage) => percentileOf(sorted, percentage))).toEqual([0, 15, 25, 40]);
    expect(percentileOf(Float64Array.of(7), 99.9)).toBe(7);
  });
});
