import { describe, expect, it } from 'vitest';
import { perplexityOptions } from './options.js';
import { perplexityOf } from './perplexity.js';

describe('perplexityOf', () => {
  it('is the vocabulary size for uniform predictions', () => {
    const uniform = new Float64Array(7).fill(Math.log(50));
    expect(perplexityOf([uniform, uniform]).perplexity).toBeCloseTo(50, 10);
  });

  it('is exp of the mean of window means', () => {
    const result = perplexityOf([Float64Array.of(1, 2, 3), Float64Array.of(2, 2, 5)]);
    expect(result.meanNegativeLogLikelihood).toBeCloseTo(2.5, 12);
    expect(result.perplexity).toBeCloseTo(Math.exp(2.5), 10);
    expect(result).toMatchObject({ windows: 2, predictedTokens: 6 });
  });

  it('weighs windows or tokens', () => {
    const windows = [Float64Array.of(1, 2, 3), Float64Array.of(6)];
    expect(perplexityOf(windows, 'window').meanNegativeLogLikelihood).toBeCloseTo(4, 12);
    expect(perplexityOf(windows, 'token').meanNegativeLogLikelihood).toBeCloseTo(3, 12);
  });

  it('does not hide a broken model', () => {
    expect(perplexityOf([Float64Array.of(1, Number.NaN)]).perplexity).toBeNaN();
    expect(perplexityOf([Float64Array.of(1, 2000)]).perplexity).toBe(Infinity);
  });
});

describe('options', () => {
  it('default to 64 windows of 512 tokens', () => {
    expect(perplexityOptions.parse({})).toEqual({ samples: 64, sequenceLength: 512, stride: 0, bos: false, weighting: 'window' });
  });

  it('refuse windows in which nothing is predicted', () => {
    expect(perplexityOptions.safeParse({ sequenceLength: 1 }).success).toBe(false);
    expect(perplexityOptions.safeParse({ samples: -1 }).success).toBe(false);
  });
});
