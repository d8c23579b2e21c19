import { adamW, schedule, train, type BatchSource, type Loss, type StepReport, type TrainingResult } from '@pare/training';
import { type TrainingContext } from './context.js';
import { type TrainingOptions } from './options.js';
import { type Student } from './student.js';

export interface StudentTraining {
  readonly options: TrainingOptions;
  readonly loss: Loss;
  /** What the loss asks for, step by step; `calibrationBatches` or windows of a technique's own. */
  readonly batches: BatchSource;
  /** Called after each step, beside the progress that is reported anyway. */
  readonly onStep?: ((report: StepReport) => void) | undefined;
}

/**
 * Trains a student with AdamW (β 0.9 and 0.999), warm-up, half a cosine and clipping, and tells how far it is.
 * @throws PARE_TRAINING_DIVERGED, PARE_ABORTED
 */
export async function trainStudent({ signal, progress }: Pick<TrainingContext, 'signal' | 'progress'>, student: Student, { options, loss, batches, onStep }: StudentTraining): Promise<TrainingResult> {
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
    signal,
    onStep: (report) => {
      progress.report({ completed: report.step, total: steps, unit: 'steps', detail: `loss ${report.loss.toPrecision(4)}` });
      onStep?.(report);
    },
  });
}
