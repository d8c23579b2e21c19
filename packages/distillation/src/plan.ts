import { elementCount, type ModelSummary, type ModulePlan, type TargetModule } from '@pare/core';
import { type TrainingOptions } from './options.js';

/** What a training does, as far as its options tell. */
export interface TrainingWork {
  readonly options: TrainingOptions;
  /** Tokens of a window; `guessedWindow` by default. */
  readonly length?: number | undefined;
  /** Forward passes of a teacher on each window; 1 keeps it beside the student, 0 says that there is none. */
  readonly teacherPasses: number;
}

/** Tokens of a window of text where a plan has to guess. */
export const guessedWindow = 512;

/** The plan of a stage that trains: dense results in the stored type, with work and memory of the whole shared among the targets by their size. */
export function planTraining(targets: readonly TargetModule<unknown>[], { parameters }: Pick<ModelSummary, 'parameters'>, { options, length = guessedWindow, teacherPasses }: TrainingWork): ModulePlan[] {
  const { steps, batchSize, loraRank, recompute } = options;
  const weights = targets.reduce((sum, { info }) => sum + elementCount(info.shape), 0);
  // 2 operations a parameter and token forward, 4 backward, 2 more to compute blocks again; a teacher is taken for as large as the student.
  const flops = (6 + (recompute ? 2 : 0) + 2 * teacherPasses) * parameters * steps * batchSize * length;
  const trained = loraRank === 0 ? parameters : targets.reduce((sum, { info: { shape } }) => sum + loraRank * (shape[0] + shape[1]), 0);
  // Student and teacher, then gradients and two tensors of AdamW, in float32.
  const workingBytes = 4 * (parameters * (teacherPasses > 0 ? 2 : 1) + 3 * trained);
  // Parameters and AdamW's state in a checkpoint, and in the one that is to replace it.
  const workFolderBytes = 2 * 4 * 3 * trained;
  return targets.map(({ info }) => ({
    module: info.name,
    produces: 'dense',
    storedBits: elementCount(info.shape) * (info.dtype === 'float32' ? 32 : 16),
    flops: (flops * elementCount(info.shape)) / weights,
    workingBytes,
    workFolderBytes,
  }));
}
