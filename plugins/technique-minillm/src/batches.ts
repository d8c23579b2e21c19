import { hostTensor, type HostTensor } from '@pare/core';
import { responseRows } from '@pare/distillation';
import { policyInputs, type Batch } from '@pare/training';
import { type MiniLlmOptions } from './options.js';
import { rolloutPositions, type Rollout } from './rollouts.js';

/** Batches of drawn texts with the inputs of `policyLoss`. Each token of the step counts the same. */
export function rolloutBatches(rollouts: readonly Rollout[], microBatch: number, positions: number): Batch[] {
  const tokens = rollouts.reduce((sum, { response }) => sum + response.length, 0);
  return responseRows(rollouts, microBatch, positions).map(({ texts, ids, length }) => ({ ids, inputs: policyInputs(texts.map((rollout) => rolloutPositions(rollout, tokens)), length) }));
}

/** Batches with the inputs of `crossEntropy` as ones of `policyLoss`, for its language-modelling part alone. */
export function languageBatches(batches: readonly Batch[], { languageWeight, softShare }: Pick<MiniLlmOptions, 'languageWeight' | 'softShare'>): Batch[] {
  return batches.map(({ ids, inputs }) => {
    const { data, shape } = inputs['weights'] as HostTensor & { readonly data: Float32Array };
    const scaled = (scale: number): HostTensor => hostTensor('float32', shape, data.map((weight) => weight * scale));
    const nothing = scaled(0);
    return {
      ids,
      inputs: {
        targets: inputs['targets']!,
        behaviour: nothing,
        advantages: nothing,
        divergenceWeights: nothing,
        labelWeights: scaled(languageWeight * (1 - softShare)),
        softWeights: scaled(languageWeight * softShare),
      },
    };
  });
}
