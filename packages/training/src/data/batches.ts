import { hostTensor } from '@pare/core';
import { type Batch } from '../decoder/gradients.js';
import { nextTokenTargets } from '../losses/cross-entropy.js';
import { type TrainingOrder } from './order.js';
import { type TrainingWindow } from './windows.js';

/**
 * Batches of a step, counted from 0. Losses and gradients of a step's batches are added up. They are asked for one at a time, so that a generator can free what belongs to a batch, such
 * as a teacher's logits, before it makes the next.
 */
export type BatchSource = (step: number) => Iterable<Batch> | AsyncIterable<Batch>;

export interface WindowBatchesOptions {
  /** Of equal length. */
  readonly windows: readonly TrainingWindow[];
  readonly order: TrainingOrder;
  /** Windows of a step. */
  readonly batchSize: number;
  /** Windows that are computed together; all of a step by default. Fewer take less memory and give the same gradient. */
  readonly microBatch?: number | undefined;
}

/** Batches with the inputs of `crossEntropy`: each token to be predicted counts the same within a step. */
export function windowBatches({ windows, order, batchSize, microBatch = batchSize }: WindowBatchesOptions): (step: number) => readonly Batch[] {
  return (step) => {
    const chosen = order.slice(step * batchSize, batchSize).map((index) => windows[index]!);
    const count = chosen.reduce((sum, { mask }) => sum + predicted(mask), 0);
    const batches: Batch[] = [];
    for (let first = 0; first < chosen.length; first += microBatch) batches.push(batchOf(chosen.slice(first, first + microBatch), count));
    return batches;
  };
}

/** Tokens to be predicted: nothing predicts the first. */
function predicted(mask: Uint8Array): number {
  return mask.subarray(1).reduce((sum, counts) => sum + counts, 0);
}

/** A batch of windows of equal length. @param count tokens to be predicted in all batches of the step */
export function batchOf(windows: readonly TrainingWindow[], count: number): Batch {
  const length = windows[0]!.ids.length;
  const ids = new BigInt64Array(windows.length * length);
  for (const [window, { ids: tokens }] of windows.entries()) {
    if (tokens.length !== length) throw new RangeError(`a window of ${String(tokens.length)} tokens among windows of ${String(length)}`);
    for (let position = 0; position < length; position++) ids[window * length + position] = BigInt(tokens[position]!);
  }
  return {
    ids: hostTensor('int64', [windows.length, length], ids),
    inputs: { ...nextTokenTargets(windows.map((window) => window.ids), windows.map(({ mask }) => mask), count) },
  };
}
