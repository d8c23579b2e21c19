import { type GraphBuilder, type Value } from '@pare/graph';
import { addCrossEntropy } from './cross-entropy.js';
import { addForwardDivergence, addJensenShannon, addReverseDivergence, addSquaredError } from './divergences.js';
import { type Loss } from './loss.js';

export interface DistillationOptions {
  /** How far the student's distribution is from the teacher's; `squared-error` compares the logits themselves. */
  readonly divergence: 'forward' | 'reverse' | 'jensen-shannon' | 'squared-error';
  /** Both sides' logits are divided by it: above 1 the teacher's less likely tokens count more. */
  readonly temperature: number;
  /** Share α of the text's own next token in the loss, 0 to 1. */
  readonly labelShare: number;
  /** β of `jensen-shannon`, between 0 and 1. */
  readonly beta?: number | undefined;
}

/**
 * Σ w · ((1 − α) T² D(teacher, student) + α · −log q(target)) (Hinton et al., arXiv 1503.02531, §2: T² keeps the gradient's size when T changes). Inputs are `teacher` float32
 * [batch, length, vocabulary], its logits, `targets` and `weights` as for `crossEntropy`. Metrics: `divergence` (at temperature T, without T²) and `label`.
 */
export function distillation(options: DistillationOptions): Loss {
  const { temperature, labelShare } = options;
  if (!(temperature > 0 && Number.isFinite(temperature))) throw new RangeError(`temperature is ${String(temperature)}; allowed: positive numbers`);
  return {
    key: `distillation ${JSON.stringify(options)}`,
    build: (builder, logits, { input }) => {
      const [batch, length] = logits.shape as [string, number];
      const teacher = input('teacher', 'float32', logits.shape!);
      const targets = input('targets', 'int64', [batch, length, 1]);
      const weights = input('weights', 'float32', [batch, length, 1]);
      const weighted = (values: Value): Value => builder.reduceSum(builder.mul(values, weights));
      const divergence = weighted(addDivergence(builder, teacher, logits, options));
      const label = weighted(addCrossEntropy(builder, logits, targets));
      const scale = options.divergence === 'squared-error' ? 1 : temperature ** 2;
      const loss = builder.add(builder.mul(divergence, (1 - labelShare) * scale), builder.mul(label, labelShare));
      return { loss, metrics: { divergence, label } };
    },
  };
}

function addDivergence(builder: GraphBuilder, teacher: Value, student: Value, { divergence, temperature, beta = 0.5 }: DistillationOptions): Value {
  if (divergence === 'squared-error') return addSquaredError(builder, teacher, student);
  const logarithms = (logits: Value): Value => builder.op('LogSoftmax', [temperature === 1 ? logits : builder.mul(logits, 1 / temperature)], { axis: -1 });
  const [p, q] = [logarithms(teacher), logarithms(student)];
  if (divergence === 'jensen-shannon') return addJensenShannon(builder, p, q, beta);
  return divergence === 'forward' ? addForwardDivergence(builder, p, q) : addReverseDivergence(builder, p, q);
}
