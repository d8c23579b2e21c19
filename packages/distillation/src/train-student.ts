import { adamW, schedule, train, type BatchSource, type Loss, type StepReport, type TrainingResult } from '@pare/training';
import { type TrainingContext } from './context.js';
import { type TrainingOptions } from './options.js';
import { type Student } from './student.js';

export interface StudentTraining {
  readonly options: TrainingOptions;
  readonly loss: Loss;
  /** What the loss asks for, step by step; `calibrationBatches` or windows of a technique's own. They follow from the step, the student and `identity` alone, so that a run that stopped can go on. */
  readonly batches: BatchSource;
  /** What batches follow from beyond the recipe, the model, the calibration text and the seed: `teacherIdentity`, a hash of texts. Nothing by default. */
  readonly identity?: string | undefined;
  /** Tells the trainings of one call apart. */
  readonly name?: string | undefined;
  /** Called after each step, beside the progress that is reported anyway. */
  readonly onStep?: ((report: StepReport) => void) | undefined;
}

/**
 * Trains a student with AdamW (β 0.9 and 0.999), warm-up, half a cosine and clipping, and tells how far it is. Checkpoints lie in the call's work folder: a training that an earlier run began, or
 * ended, goes on from there and gives the weights that it would have given without the stop.
 * @throws PARE_TRAINING_DIVERGED, PARE_ABORTED; PARE_RESUME_MISMATCH for a checkpoint of another identity
 */
export async function trainStudent({ signal, progress, work: { files, path } }: Pick<TrainingContext, 'signal' | 'progress' | 'work'>, student: Student, { options, loss, batches, identity = 'no teacher', name = 'training', onStep }: StudentTraining): Promise<TrainingResult> {
  const { steps, learningRate, warmup, weightDecay, clipNorm, recompute } = options;
  return train({
    backend: student.backend,
    segments: student.segments(loss),
    parameters: student.parameters,
    trainable: student.trainable,
    steps,
    batches,
    optimizer: adamW({ weightDecay }),
    schedule: schedule({ rate: learningRate, warmup: Math.min(warmup, steps), steps }),
    clipNorm,
    recompute,
    checkpoint: { path: files.path.join(path, `${name}.safetensors`), files, identity, resume: true },
    signal,
    onStep: (report) => {
      progress.report({ completed: report.step, total: steps, unit: 'steps', detail: `loss ${report.loss.toPrecision(4)}` });
      onStep?.(report);
    },
  });
}
