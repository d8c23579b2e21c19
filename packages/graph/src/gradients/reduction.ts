import { type Value } from '../builder.js';
import { type GradientContext, type GradientRule } from './rule.js';
import { countAlong, zerosLike } from './shapes.js';

/* Operators that shrink axes, and those that normalise or scan along them. */

/** Axes that a reduction removes, in ascending order; undefined when it does nothing. */
function reducedAxes(context: GradientContext): readonly number[] | undefined {
  const rank = context.shape(context.input(0)).length;
  const given = context.inputs[1] === undefined ? context.ints('axes') : (context.numbers(1) ?? context.fail('axes must be known to differentiate it'));
  if (given === undefined || given.length === 0) return context.int('noop_with_empty_axes') === 1 ? undefined : Array.from({ length: rank }, (_, axis) => axis);
  return given.map((axis) => context.axis(axis, rank)).sort((left, right) => left - right);
}

/** A rule over the gradient and the output, both with their reduced axes as axes of size 1. What reduces nothing is the identity. */
const reduction =
  (rule: (parts: { context: GradientContext; x: Value; g: Value; y: () => Value; axes: readonly number[] }) => Value): GradientRule =>
  (context) => {
    const axes = reducedAxes(context);
    if (axes === undefined) return [() => context.gradient];
    const kept = (value: Value): Value => (axes.length === 0 || context.int('keepdims') === 1 ? value : context.builder.unsqueeze(value, axes));
    return [() => rule({ context, x: context.input(0), g: kept(context.gradient), y: () => kept(context.outputs[0]!), axes })];
  };

/** Equal parts to all elements that are the extremum. */
const extremum = reduction(({ context: { builder: b }, x, g, y, axes }) => {
  const chosen = b.cast(b.equal(x, y()), x.dtype);
  return b.mul(chosen, b.div(g, axes.length === 0 ? chosen : b.reduceSum(chosen, axes, true)));
});

function softmaxAxis(context: GradientContext): number {
  if (context.opset < 13) context.fail(`its form of operator set ${String(context.opset)} has no gradient here; upgradeOpset gives graphs of today`);
  return context.axis(context.int('axis'), context.shape(context.input(0)).length);
}

/**
 * Scores [N, C, d…], labels [N, d…]: ∂/∂scores = (softmax − one-hot) · w with w the weight of an element's loss: that of its class, 0 for the label to ignore, over the sum of
 * weights for the mean.
 */
const softmaxCrossEntropy: GradientRule = (context) => [
  () => {
    const { builder: b, gradient: g } = context;
    const [scores, labels, classWeights] = [context.input(0), context.input(1), context.inputs[2]];
    const ignored = context.attribute('ignore_index') as number | undefined;
    const counted = ignored === undefined ? undefined : b.not(b.equal(labels, ignored));
    const safe = counted === undefined ? labels : b.where(counted, labels, 0);
    const ones = (): Value => b.cast(b.greaterOrEqual(safe, 0), scores.dtype);
    const given = classWeights === undefined ? ones() : b.gather(classWeights, safe, 0);
    const weights = counted === undefined ? given : b.where(counted, given, 0);
    const reduction = context.string('reduction');
    const scaled = reduction === 'mean' ? b.div(b.mul(weights, g), b.reduceSum(weights)) : b.mul(weights, g);
    const columns = b.unsqueeze(scaled, [1]);
    const expected = b.mul(b.softmax(scores, 1), columns);
    return b.op('ScatterElements', [expected, b.unsqueeze(safe, [1]), b.neg(columns)], { axis: 1, reduction: 'add' });
  },
];

export const reductionGradients: Readonly<Record<string, GradientRule>> = {
  '::ReduceSum': reduction(({ g }) => g),
  '::ReduceMean': reduction(({ context: { builder: b }, x, g, axes }) => b.div(g, countAlong(b, x, axes))),
  '::ReduceSumSquare': reduction(({ context: { builder: b }, x, g }) => b.mul(b.mul(g, 2), x)),
  // x / ‖x‖, and 0 for a norm of 0.
  '::ReduceL2': reduction(({ context: { builder: b }, x, g, y }) => b.mul(x, b.where(b.greater(y(), 0), b.div(g, y()), 0))),
  '::ReduceMax': extremum,
  '::ReduceMin': extremum,
  '::TopK': (context) => {
    const { builder: b } = context;
    return [() => b.op('ScatterElements', [zerosLike(b, context.input(0)), context.outputs[1]!, context.gradient], { axis: context.int('axis') })];
  },
  // p ⊙ (g − Σ p ⊙ g)
  '::Softmax': (context) => {
    const { builder: b, gradient: g } = context;
    const [p, axis] = [context.outputs[0]!, softmaxAxis(context)];
    return [
      () => {
        const weighted = b.mul(g, p);
        return b.sub(weighted, b.mul(p, b.reduceSum(weighted, [axis], true)));
      },
    ];
  },
  // g − p · Σ g
  '::LogSoftmax': (context) => {
    const { builder: b, gradient: g } = context;
    const axis = softmaxAxis(context);
    return [() => b.sub(g, b.mul(b.exp(context.outputs[0]!), b.reduceSum(g, [axis], true)))];
  },
  '::CumSum': (context) => [
    () => context.builder.op('CumSum', [context.gradient, context.input(1)], { exclusive: context.int('exclusive'), reverse: 1 - context.int('reverse') }),
  ],
  '::SoftmaxCrossEntropyLoss': softmaxCrossEntropy,
};
