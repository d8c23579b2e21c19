import { type Value } from '../builder.js';
import { type GradientContext, type GradientRule } from './rule.js';

/* Normalisation over axes. With n = (x − mean)·r, r = 1 / √(variance + ε), h the gradient of n and ⟨·⟩ the mean over the axes:
     ∂x = r (h − ⟨h⟩ − n ⟨h ⊙ n⟩)
   (Ba et al., arXiv 1607.06450, differentiated); RMS norms (arXiv 1910.07467) lack the mean and with it ⟨h⟩. */

function normalisedAxes(context: GradientContext): number[] {
  const rank = context.shape(context.input(0)).length;
  const first = context.axis(context.int('axis'), rank);
  return Array.from({ length: rank - first }, (_, index) => first + index);
}

const layer =
  (centred: boolean): GradientRule =>
  (context) => {
    const { builder: b, gradient: g } = context;
    const [x, scale] = [context.input(0), context.input(1)];
    const axes = normalisedAxes(context);
    const mean = (value: Value): Value => b.reduceMean(value, axes, true);
    const deviations = (): Value => (centred ? b.sub(x, mean(x)) : x);
    const inverse = (): Value => b.op('Reciprocal', [b.sqrt(b.add(mean(b.mul(deviations(), deviations())), context.float('epsilon')))]);
    const normalised = (): Value => b.mul(deviations(), inverse());
    return [
      () => {
        const h = b.mul(g, scale);
        const along = b.mul(normalised(), mean(b.mul(h, normalised())));
        return b.mul(inverse(), b.sub(centred ? b.sub(h, mean(h)) : h, along));
      },
      () => b.mul(g, normalised()),
      () => g,
    ];
  };

/** Y = (X − mean) / √(variance + ε) · scale + B with statistics that are inputs; channels are axis 1. */
const batch: GradientRule = (context) => {
  const { builder: b, gradient: g } = context;
  if (context.int('training_mode') === 1) context.fail('has no gradient in training mode');
  const [x, scale, mean, variance] = [context.input(0), context.input(1), context.input(3), context.input(4)];
  const rank = context.shape(x).length;
  const column = (vector: Value): Value => b.reshape(vector, [-1, ...new Array<number>(rank - 2).fill(1)]);
  const others = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  const overOthers = (value: Value): Value => b.reduceSum(value, others);
  const inverse = (): Value => b.op('Reciprocal', [b.sqrt(b.add(variance, context.float('epsilon')))]);
  const deviations = (): Value => b.sub(x, column(mean));
  const slope = (): Value => b.mul(scale, inverse());
  return [
    () => b.mul(g, column(slope())),
    () => b.mul(overOthers(b.mul(g, deviations())), inverse()),
    () => overOthers(g),
    () => b.neg(b.mul(overOthers(g), slope())),
    () => b.mul(overOthers(b.mul(g, deviations())), b.mul(b.mul(slope(), b.mul(inverse(), inverse())), -0.5)),
  ];
};

export const normalisationGradients: Readonly<Record<string, GradientRule>> = {
  '::LayerNormalization': layer(true),
  '::SimplifiedLayerNormalization': layer(false),
  '::BatchNormalization': batch,
};
