import { float32Tensor } from '@pare/core';
import { type Value } from '../builder.js';
import { type GradientContext, type GradientRule } from './rule.js';
import { countAlong, zerosLike } from './shapes.js';

/* Convolutions and pooling. Spatial sizes must be known; the batch may be open. */

/** Windows along each spatial axis. */
interface Geometry {
  /** Sizes of the data and of the output. */
  readonly data: readonly number[];
  readonly output: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

function geometryOf(context: GradientContext, kernel: readonly number[]): Geometry {
  const spatial = (value: Value): number[] => context.shape(value).slice(2).map((size) => (typeof size === 'number' ? size : context.fail(`spatial size "${size}" must be known to differentiate it`)));
  const [data, output] = [spatial(context.input(0)), spatial(context.outputs[0]!)];
  const strides = context.ints('strides') ?? data.map(() => 1);
  const dilations = context.ints('dilations') ?? data.map(() => 1);
  const pads = context.ints('pads') ?? [];
  const mode = context.string('auto_pad');
  const bounds = data.map((size, axis): [number, number] => {
    if (mode === 'VALID') return [0, 0];
    if (mode === 'NOTSET') return [pads[axis] ?? 0, pads[axis + data.length] ?? 0];
    const total = Math.max(0, (output[axis]! - 1) * strides[axis]! + (kernel[axis]! - 1) * dilations[axis]! + 1 - size);
    const half = Math.floor(total / 2);
    return mode === 'SAME_UPPER' ? [half, total - half] : [total - half, half];
  });
  return { data, output, kernel, strides, dilations, begin: bounds.map(([begin]) => begin), end: bounds.map(([, end]) => end) };
}

/** Puts stride − 1 zeros between neighbours: [N, C, d…] → [N, C, (d − 1)·stride + 1 …]. */
function spread({ builder: b }: GradientContext, value: Value, { output, strides }: Geometry): Value {
  if (strides.every((stride) => stride === 1)) return value;
  const columns = b.unsqueeze(value, output.map((_, axis) => 3 + 2 * axis));
  const ends = [0, 0, ...strides.flatMap((stride) => [0, stride - 1])];
  const padded = b.op('Pad', [columns, b.int64([...ends.map(() => 0), ...ends])]);
  const wide = b.reshape(padded, [0, 0, ...output.map((size, axis) => size * strides[axis]!)]);
  return output.reduce((part, size, axis) => (strides[axis] === 1 ? part : b.slice(part, 2 + axis, 0, (size - 1) * strides[axis]! + 1)), wide);
}

/**
 * ∂X of a convolution: the spread gradient convolved with the mirrored kernel whose input and output channels have changed places (Dumoulin & Visin, arXiv 1603.07285,
 * §4), over all positions, of which those of the data are kept.
 * @param weights [channels out, channels in / group, kernel…]
 */
function dataGradient(context: GradientContext, g: Value, weights: Value, group: number, geometry: Geometry): Value {
  const { builder: b } = context;
  const { data, output, kernel, strides, dilations, begin } = geometry;
  const [outputs, inputs] = weights.shape as readonly number[];
  const byGroup = b.reshape(weights, [group, outputs! / group, inputs!, ...kernel]);
  const order = [0, 2, 1, ...kernel.map((_, axis) => 3 + axis)];
  let mirrored = b.reshape(b.transpose(byGroup, order), [group * inputs!, outputs! / group, ...kernel]);
  for (const [axis, size] of kernel.entries()) {
    if (size > 1) mirrored = b.op('Slice', [mirrored, b.int64([-1]), b.int64([-(2 ** 31)]), b.int64([2 + axis]), b.int64([-1])]);
  }
  const reach = kernel.map((size, axis) => (size - 1) * dilations[axis]!);
  const missing = data.map((size, axis) => Math.max(0, begin[axis]! + size - ((output[axis]! - 1) * strides[axis]! + 1 + reach[axis]!)));
  const pads = [...reach, ...reach.map((size, axis) => size + missing[axis]!)];
  const full = b.op('Conv', [spread(context, g, geometry), mirrored], { dilations, group, pads });
  return data.reduce((part, size, axis) => (part.shape![2 + axis] === size ? part : b.slice(part, 2 + axis, begin[axis]!, begin[axis]! + size)), full);
}

/** ∂W: the data convolved with the gradient, batch and channels having changed places, strides and dilations too. */
function kernelGradient(context: GradientContext, x: Value, g: Value, group: number, geometry: Geometry): Value {
  const { builder: b } = context;
  const { data, output, kernel, strides, dilations, begin, end } = geometry;
  const channels = context.shape(x)[1] as number;
  const spatial = data.map((_, axis) => axis);
  const byGroup = b.reshape(x, [0, group, channels / group, ...data]);
  const turned = b.transpose(byGroup, [2, 1, 0, ...spatial.map((axis) => 3 + axis)]);
  const swap = [1, 0, ...spatial.map((axis) => 2 + axis)];
  const product = b.op('Conv', [b.reshape(turned, [channels / group, -1, ...data]), b.transpose(g, swap)], {
    dilations: strides,
    strides: dilations,
    group,
    pads: [...begin, ...end],
    kernel_shape: output,
  });
  const cut = kernel.reduce((part, size, axis) => (part.shape![2 + axis] === size ? part : b.slice(part, 2 + axis, 0, size)), product);
  return b.transpose(cut, swap);
}

const convolution: GradientRule = (context) => {
  const { builder: b, gradient: g } = context;
  const [x, weights] = [context.input(0), context.input(1)];
  const kernel = context.shape(weights).slice(2) as readonly number[];
  const group = context.int('group');
  return [
    () => dataGradient(context, g, weights, group, geometryOf(context, kernel)),
    () => kernelGradient(context, x, g, group, geometryOf(context, kernel)),
    () => b.reduceSum(g, context.shape(g).map((_, axis) => axis).filter((axis) => axis !== 1)),
  ];
};

/** Each window spreads its gradient evenly over what it averaged. */
const averagePool: GradientRule = (context) => [
  () => {
    const { builder: b, gradient: g } = context;
    const geometry = geometryOf(context, context.ints('kernel_shape')!);
    const channels = context.shape(g)[1] as number;
    const padded = context.int('count_include_pad') === 1;
    const counts = geometry.output.map((windows, axis) => Array.from({ length: windows }, (_, window) => averaged(geometry, axis, window, padded)));
    let divisors = [1];
    for (const list of counts) divisors = divisors.flatMap((left) => list.map((right) => left * right));
    const shares = b.div(g, b.cast(b.constant(float32Tensor(geometry.output, divisors)), g.dtype));
    const ones = b.cast(b.constant(float32Tensor([channels, 1, ...geometry.kernel], new Float32Array(channels * geometry.kernel.reduce((left, right) => left * right, 1)).fill(1))), g.dtype);
    return dataGradient(context, shares, ones, channels, geometry);
  },
];

/** Elements of a window along one axis that count in its mean. */
function averaged({ data, kernel, strides, dilations, begin, end }: Geometry, axis: number, window: number, padded: boolean): number {
  const first = window * strides[axis]! - begin[axis]!;
  const places = Array.from({ length: kernel[axis]! }, (_, index) => first + index * dilations[axis]!);
  const [low, high] = padded ? [-begin[axis]!, data[axis]! + end[axis]!] : [0, data[axis]!];
  return places.filter((place) => place >= low && place < high).length;
}

/** The gradient goes to the element that was the largest, found by its position in the whole tensor. */
const maxPool: GradientRule = (context) => [
  () => {
    const { builder: b, node, gradient: g } = context;
    const x = context.input(0);
    if (context.int('storage_order') === 1) context.fail('has no gradient for column-major indices');
    const [, places] = b.node('MaxPool', [x], node.attributes, { outputs: 2 });
    const sums = b.op('ScatterElements', [b.reshape(zerosLike(b, x), [-1]), b.reshape(places!, [-1]), b.reshape(g, [-1])], { axis: 0, reduction: 'add' });
    return b.reshape(sums, b.shapeOf(x));
  },
];

export const windowGradients: Readonly<Record<string, GradientRule>> = {
  '::Conv': convolution,
  '::AveragePool': averagePool,
  '::MaxPool': maxPool,
  '::GlobalAveragePool': (context) => {
    const { builder: b, gradient: g } = context;
    const x = context.input(0);
    return [() => b.div(g, countAlong(b, x, context.shape(x).map((_, axis) => axis).slice(2)))];
  },
};
