import { apiVersion, defineEvaluator, noOptions, type Evaluator, type Model, type Predictor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { checkEvaluator, describeEvaluator, describeFinding, type EvaluatorConformanceOptions } from '../index.js';
import { FaultyBackend } from '../../test/faulty-backend.js';

/** Measures the side of zero that a kept number is on; `spoil` makes the number one that no JSON keeps. */
function zeroSide(spoil: boolean): Evaluator<Record<string, never>> {
  return defineEvaluator({
    id: 'zero-side',
    api: apiVersion,
    title: 'Side of zero',
    summary: 'Measures the side of zero that a number is on.',
    options: noOptions,
    data: 'none',
    reads: 'summary',
    metrics: [{ name: 'side', unit: '', direction: 'neutral', summary: '1 or -1.' }],
    async evaluate({ checkpoint }) {
      const value = await checkpoint.piece<unknown>('value', () => Promise.resolve(spoil ? new Date(0) : [NaN, -0]));
      return { metrics: { side: value instanceof Date ? 1 : Array.isArray(value) && Object.is(value[1], -0) ? -1 : 0 } };
    },
  });
}

const nothing = { model: {} as Model, original: {} as Model, predictor: {} as Predictor, originalPredictor: {} as Predictor };
const kit: EvaluatorConformanceOptions = {
  makeBackend: () => new FaultyBackend('none'),
  open: () => Promise.resolve({ ...nothing, tokenizer: () => Promise.reject(new Error('no tokenizer')), [Symbol.asyncDispose]: () => Promise.resolve() }),
};

// As authors use it: every number comes back from what is kept, −0 and NaN too.
describeEvaluator(zeroSide(false), kit);

describe('the suite of evaluators', () => {
  it('finds pieces that do not come back as they were', async () => {
    expect((await checkEvaluator(zeroSide(true), kit)).map(describeFinding).join('\n')).toMatch(/breaks resume[^]*"side":1[^]*"side":0/);
  });
});
