import { type Value } from '../builder.js';
import { type GradientContext, type GradientRule } from './rule.js';
import { shapeLike, sizeOf, sizesOf, zeros, zerosLike } from './shapes.js';

/* Operators that read or write at positions held in a tensor. Gradients of what was read are added up where it was read from. */

/**
 * data [pre…, size, post…] read at indices: the gradient [pre…, indices…, post…] as [pre, n, post] is added into zeros [pre, size, post] at the positions along the middle
 * axis. ScatterElements instead of ScatterND, because runtimes add repeated positions of the latter in parallel.
 */
const gather: GradientRule = (context) => [
  () => {
    const { builder: b, gradient: g } = context;
    const [data, indices] = [context.input(0), context.input(1)];
    const shape = context.shape(data);
    const axis = context.axis(context.int('axis'), shape.length);
    const inner = product(context, data, shape.map((_, other) => other).slice(axis + 1));
    const outer = product(context, data, shape.map((_, other) => other).slice(0, axis));
    const count = product(context, indices, context.shape(indices).map((_, other) => other));
    const updates = b.reshape(g, [outer, count, inner]);
    const places = b.expand(b.reshape(indices, [1, -1, 1]), sizesOf(b, updates));
    const sums = b.op('ScatterElements', [zeros(b, g.dtype, [outer, sizeOf(b, data, axis), inner]), places, updates], { axis: 1, reduction: 'add' });
    return b.reshape(sums, shapeLike(b, data));
  },
];

/** The product of some of a value's sizes: a number, or a 1-D value of one element. */
function product({ builder }: GradientContext, value: Value, axes: readonly number[]): number | Value {
  return axes
    .map((axis) => sizeOf(builder, value, axis))
    .reduce((left, right) => {
      if (typeof left === 'number' && typeof right === 'number') return left * right;
      const [first, second] = [left, right].map((size) => (typeof size === 'number' ? builder.int64([size]) : size));
      return builder.mul(first!, second!);
    }, 1);
}

const gatherElements: GradientRule = (context) => [
  () => context.builder.op('ScatterElements', [zerosLike(context.builder, context.input(0)), context.input(1), context.gradient], { axis: context.int('axis'), reduction: 'add' }),
];

const gatherND: GradientRule = (context) => [
  () => {
    if (context.int('batch_dims') !== 0) context.fail('has no gradient with batch_dims');
    return context.builder.op('ScatterND', [zerosLike(context.builder, context.input(0)), context.input(1), context.gradient], { reduction: 'add' });
  },
];

/** Replaced or increased elements: what was there keeps its gradient in the latter case only. */
const scatter =
  (write: (context: GradientContext, data: Value, updates: Value) => Value, read: (context: GradientContext) => Value): GradientRule =>
  (context) => {
    const reduction = context.string('reduction');
    if (reduction !== 'none' && reduction !== 'add') context.fail(`has no gradient with reduction "${reduction}"`);
    return [
      () => (reduction === 'add' ? context.gradient : write(context, context.gradient, zerosLike(context.builder, context.input(2)))),
      undefined,
      () => read(context),
    ];
  };

export const indexingGradients: Readonly<Record<string, GradientRule>> = {
  '::Gather': gather,
  '::GatherElements': gatherElements,
  '::GatherND': gatherND,
  '::ScatterElements': scatter(
    (context, data, updates) => context.builder.op('ScatterElements', [data, context.input(1), updates], { axis: context.int('axis') }),
    (context) => context.builder.op('GatherElements', [context.gradient, context.input(1)], { axis: context.int('axis') }),
  ),
  '::ScatterND': scatter(
    (context, data, updates) => context.builder.op('ScatterND', [data, context.input(1), updates]),
    (context) => context.builder.op('GatherND', [context.gradient, context.input(1)]),
  ),
};
