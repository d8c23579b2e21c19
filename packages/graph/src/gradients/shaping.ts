import { int64Tensor } from '@pare/core';
import { type Value } from '../builder.js';
import { type Contribution, type GradientContext, type GradientRule } from './rule.js';
import { shapeLike, sizeOf, sizesOf, zeros, zerosLike } from './shapes.js';

/* Operators that rearrange or repeat elements. */

/** Back to the shape that it had. */
const reshaped: GradientRule = (context) => [() => context.builder.reshape(context.gradient, shapeLike(context.builder, context.input(0)))];

const transpose: GradientRule = (context) => {
  const rank = context.shape(context.input(0)).length;
  const order = context.ints('perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  return [() => context.builder.transpose(context.gradient, order.map((_, axis) => order.indexOf(axis)))];
};

const concat: GradientRule = (context) => {
  const { builder: b, gradient: g, inputs } = context;
  const axis = context.axis(context.int('axis'), context.shape(g).length);
  const plus = (left: number | Value, right: number | Value): number | Value => {
    if (typeof left === 'number' && typeof right === 'number') return left + right;
    const [first, second] = [left, right].map((part) => (typeof part === 'number' ? b.int64([part]) : part));
    return b.add(first!, second!);
  };
  const bounds = inputs.reduce<(number | Value)[]>((list, input) => [...list, plus(list.at(-1)!, sizeOf(b, input!, axis))], [0]);
  return inputs.map((_, index) => () => b.slice(g, axis, bounds[index]!, bounds[index + 1]!));
};

const split: GradientRule = (context) => {
  const { builder: b, outputs, gradients } = context;
  return [() => b.concat(outputs.map((output, index) => gradients[index] ?? zerosLike(b, output!)), context.int('axis'))];
};

interface AxisSlice {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
}

/** What a Slice takes of each axis it names. */
function sliceAxes(context: GradientContext): AxisSlice[] {
  const shape = context.shape(context.input(0));
  const list = (input: number, name: string): readonly number[] => {
    const numbers = context.inputs[input] === undefined ? context.ints(name) : context.numbers(input);
    return numbers ?? context.fail(`${name} must be known to differentiate it`);
  };
  const starts = list(1, 'starts');
  const axes = context.inputs[3] === undefined && context.ints('axes') === undefined ? starts.map((_, index) => index) : list(3, 'axes');
  const steps = context.inputs[4] === undefined ? axes.map(() => 1) : list(4, 'steps');
  return axes.map((given, index) => {
    const axis = context.axis(given, shape.length);
    const [size, start, step] = [shape[axis]!, starts[index]!, steps[index]!];
    if (typeof size !== 'number') {
      if (start < 0) context.fail(`start ${String(start)} of axis ${String(axis)} counts from an end that only a run knows; it cannot be differentiated`);
      return { axis, start, step };
    }
    const counted = start < 0 ? start + size : start;
    return { axis, start: step > 0 ? Math.min(Math.max(counted, 0), size) : Math.min(Math.max(counted, 0), size - 1), step };
  });
}

const slice: GradientRule = (context) => [
  (): Contribution => {
    const { builder: b } = context;
    const x = context.input(0);
    const slices = sliceAxes(context);
    const first = slices[0];
    let g = context.gradient;
    if (slices.length === 1 && first!.step === 1 && isKnown(context, x, first!.axis) && isKnown(context, g, first!.axis)) return { axis: first!.axis, start: first!.start, value: g };
    // The axes that were cut one by one get their size back one by one.
    for (const cut of slices) g = widen(context, g, cut, sizeOf(b, x, cut.axis));
    return g;
  },
];

const isKnown = (context: GradientContext, value: Value, axis: number): boolean => typeof context.shape(value)[axis] === 'number';

/** Puts a slice into zeros of `size` along its axis. */
function widen({ builder: b }: GradientContext, g: Value, { axis, start, step }: AxisSlice, size: number | Value): Value {
  const taken = sizeOf(b, g, axis);
  const sizes = sizesOf(b, g);
  const filled = (length: number | Value): Value => zeros(b, g.dtype, sizes.map((own, other) => (other === axis ? length : own)));
  if (step === 1) {
    const parts = start === 0 ? [g] : [filled(start), g];
    if (typeof taken === 'number' && typeof size === 'number') return start + taken === size && parts.length === 1 ? g : b.concat([...parts, filled(size - start - taken)], axis);
    const vector = (length: number | Value): Value => (typeof length === 'number' ? b.int64([length]) : length);
    return b.concat([...parts, filled(b.sub(b.sub(vector(size), vector(taken)), b.int64([start])))], axis);
  }
  const count = typeof taken === 'number' ? b.int64([taken]) : taken;
  const range = b.op('Range', [b.constant(int64Tensor([], [0])), b.squeeze(count, [0]), b.constant(int64Tensor([], [1]))]);
  const places = b.add(b.mul(range, step), start);
  const column = b.reshape(places, sizes.map((_, other) => (other === axis ? -1 : 1)));
  return b.op('ScatterElements', [filled(size), b.expand(column, sizes), g], { axis });
}

/** [d₀·r₀, d₁·r₁, …] seen as [r₀, d₀, r₁, d₁, …], summed over the repetitions. */
const tile: GradientRule = (context) => [
  () => {
    const { builder: b, gradient: g } = context;
    const x = context.input(0);
    const repeats = context.numbers(1) ?? context.fail('repeats must be known to differentiate it');
    const split = repeats.flatMap((count, axis) => [count, sizeOf(b, x, axis)]);
    return b.reduceSum(b.reshape(g, split), repeats.map((_, axis) => 2 * axis));
  },
];

const pad: GradientRule = (context) => {
  const { builder: b, gradient: g } = context;
  const x = context.input(0);
  if (context.string('mode') !== 'constant') context.fail(`has no gradient in mode ${context.string('mode')}`);
  const pads = (context.inputs[1] === undefined ? context.ints('pads') : context.numbers(1)) ?? context.fail('pads must be known to differentiate it');
  const rank = context.shape(x).length;
  const axes = context.inputs[3] === undefined ? Array.from({ length: rank }, (_, axis) => axis) : (context.numbers(3) ?? context.fail('axes must be known to differentiate it'));
  const inside = (): Value => {
    let part = g;
    for (const [index, given] of axes.entries()) {
      const axis = context.axis(given, rank);
      const [begin, end] = [pads[index]!, pads[index + axes.length]!];
      // A negative pad cut elements off, which get zeros.
      if (begin > 0 || end > 0) part = b.slice(part, axis, Math.max(0, begin), end > 0 ? -end : Number.MAX_SAFE_INTEGER);
      if (begin < 0 || end < 0) part = widen(context, part, { axis, start: Math.max(0, -begin), step: 1 }, sizeOf(b, x, axis));
    }
    return part;
  };
  return [inside, undefined, () => (pads.some((size) => size < 0) ? context.fail('has no gradient for the constant where pads are negative') : b.sub(b.reduceSum(g), b.reduceSum(inside())))];
};

export const shapingGradients: Readonly<Record<string, GradientRule>> = {
  '::Reshape': reshaped,
  '::Flatten': reshaped,
  '::Squeeze': reshaped,
  '::Unsqueeze': reshaped,
  '::Transpose': transpose,
  '::Concat': concat,
  '::Split': split,
  '::Slice': slice,
  // The transformation sums over the axes that were repeated.
  '::Expand': ({ gradient }) => [() => gradient],
  '::Tile': tile,
  '::Pad': pad,
  '::Trilu': (context) => [() => context.builder.op('Trilu', [context.gradient, context.inputs[1]], { upper: context.int('upper') })],
};
