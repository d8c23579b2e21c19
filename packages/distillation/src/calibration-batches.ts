import { TrainingOrder, windowBatches, type Batch } from '@pare/training';
import { type TrainingContext } from './context.js';
import { type TrainingOptions } from './options.js';

/** Batches of the calibration text, every token to be predicted, in an order that the call's seed shuffles anew in each pass. */
export function calibrationBatches({ windows, seed }: Pick<TrainingContext, 'windows' | 'seed'>, { batchSize, microBatch }: Pick<TrainingOptions, 'batchSize' | 'microBatch'>): (step: number) => readonly Batch[] {
  const texts = windows.map((ids) => ({ ids, mask: new Uint8Array(ids.length).fill(1) }));
  return windowBatches({ windows: texts, order: new TrainingOrder({ count: texts.length, order: 'shuffled', seed }), batchSize, microBatch });
}
