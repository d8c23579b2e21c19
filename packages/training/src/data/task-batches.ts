import { createSha256 } from '@pare/platform';
import { type Batch } from '../decoder/gradients.js';
import { batchOf } from './batches.js';
import { TrainingOrder } from './order.js';
import { padExamples, type TrainingExample } from './windows.js';

/** One of the things that a model learns at the same time. */
export interface Task {
  readonly examples: readonly TrainingExample[];
  /** Its share in the loss, from 0 (left out) to 1. */
  readonly share: number;
}

export interface TaskBatchesOptions {
  readonly tasks: readonly Task[];
  /** Examples of each task in a step. */
  readonly batchSize: number;
  /** Examples that are computed together; all of a task's by default. */
  readonly microBatch?: number | undefined;
  /** Token that fills windows up; it is not predicted. */
  readonly padding: number;
  /** Longest window: the model's positions. */
  readonly positions: number;
  readonly seed: number;
}

/** Windows are filled up to a multiple of it: few lengths to compile for, and little padding. */
const lengthStep = 16;

/**
 * Batches of one example a window with the inputs of `crossEntropy`: the loss of a step is Σ share · (mean over the task's tokens of −log p). Examples of similar length are computed together. Tasks
 * of equally many examples go through them in the same order.
 */
export function taskBatches({ tasks, batchSize, microBatch = batchSize, padding, positions, seed }: TaskBatchesOptions): (step: number) => readonly Batch[] {
  const learnt = tasks
    .filter(({ share, examples }) => share > 0 && examples.length > 0)
    .map((task) => ({ ...task, order: new TrainingOrder({ count: task.examples.length, order: 'shuffled', seed }) }));
  if (learnt.length === 0) throw new RangeError('no task has examples and a share above 0');
  return (step) =>
    learnt.flatMap(({ examples, share, order }) => {
      const chosen = order.slice(step * batchSize, batchSize).map((index) => examples[index]!);
      chosen.sort((left, right) => left.ids.length - right.ids.length);
      const tokens = chosen.reduce((sum, example) => sum + predicted(example), 0);
      const batches: Batch[] = [];
      for (let first = 0; first < chosen.length; first += microBatch) {
        const together = chosen.slice(first, first + microBatch);
        const length = Math.min(positions, Math.ceil(together.at(-1)!.ids.length / lengthStep) * lengthStep);
        const windows = padExamples(together, { length, padding });
        if (windows.length > 0) batches.push(batchOf(windows, tokens / share));
      }
      return batches;
    });
}

/** A hash of all that tasks hold: two trainings of equal tasks, order and seed have equal batches. */
export function tasksIdentity(tasks: readonly Task[]): string {
  const hash = createSha256();
  for (const { share, examples } of tasks) {
    hash.update(new TextEncoder().encode(`task ${String(share)} ${String(examples.length)}`));
    for (const { ids, mask } of examples) {
      hash.update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
      hash.update(mask ?? Uint8Array.of(1));
    }
  }
  return `tasks ${hash.hex().slice(0, 16)}`;
}

/** Tokens to be predicted: nothing predicts the first. */
function predicted({ ids, mask }: TrainingExample): number {
  return mask === undefined ? ids.length - 1 : mask.subarray(1).reduce((sum, counts) => sum + counts, 0);
}
