import { createRandom, elementCount, float32Tensor, hostTensor, int64Tensor, type DType, type Graph, type HostTensor, type Random } from '@pare/core';
import { evaluateGraph, evaluateNode } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from '../builder.js';
import { foldConstants } from '../fold-constants.js';
import { operatorKey } from '../operators/operator-key.js';
import { validateGraph } from '../validate.js';
import { gradientGraph, gradientName } from './gradient-graph.js';
import { gradientRules } from './table.js';

/* Every rule against central differences in double precision. Sizes are 1, odd, and open; elements of one tensor differ by more than the step. */

type Values = Readonly<Record<string, Value>>;

interface Input {
  readonly shape: readonly number[];
  /** Elements lie in [low, high], evenly spaced in random order. */
  readonly low?: number;
  readonly high?: number;
}

interface Case {
  /** Key of the rule. */
  readonly rule: string;
  readonly of: string;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly build: (b: GraphBuilder, inputs: Values) => Value | readonly Value[];
  /** Names of sizes that stay open in the graph, by input and axis. */
  readonly open?: Readonly<Record<string, Readonly<Record<number, string>>>>;
}

const shape = (...sizes: number[]): Input => ({ shape: sizes });
const between = (low: number, high: number, ...sizes: number[]): Input => ({ shape: sizes, low, high });
const positive = (...sizes: number[]): Input => between(0.3, 2, ...sizes);
const constant = (b: GraphBuilder, like: Value, sizes: readonly number[], values: readonly number[]): Value => b.constant(hostTensor(like.dtype, sizes, like.dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values)));
const integers = (b: GraphBuilder, sizes: readonly number[], values: readonly number[]): Value => b.constant(int64Tensor(sizes, values));

/** An operator on inputs in their order. */
const apply =
  (operator: string, attributes: Readonly<Record<string, number | string | readonly number[]>> = {}, domain = '') =>
  (b: GraphBuilder, inputs: Values): Value =>
    b.op(operator, Object.values(inputs), attributes, { domain });

const unary = (operator: string, input: Input = shape(3, 5), attributes: Readonly<Record<string, number | string>> = {}, domain = ''): Case => ({
  rule: operatorKey(operator, domain),
  of: `${Object.values(attributes).join(' ')} [${input.shape.join(', ')}]`,
  inputs: { x: input },
  build: apply(operator, attributes, domain),
});

/** A binary operator on equal shapes and on shapes broadcast on either side, at both ends. */
const binary = (operator: string, make: (...sizes: number[]) => Input = shape): Case[] =>
  [
    [[3, 5], [3, 5]],
    [[3, 5], [5]],
    [[1, 5], [7, 3, 1]],
    [[], [2, 1, 3]],
  ].map(([left, right]) => ({ rule: `::${operator}`, of: `[${left!.join(', ')}] and [${right!.join(', ')}]`, inputs: { x: make(...left!), y: make(...right!) }, build: apply(operator) }));

const matmul = (left: readonly number[], right: readonly number[], open?: Case['open']): Case => ({
  rule: '::MatMul',
  of: `[${left.join(', ')}] · [${right.join(', ')}]${open === undefined ? '' : ' of open size'}`,
  inputs: { x: shape(...left), y: shape(...right) },
  build: apply('MatMul'),
  ...(open === undefined ? {} : { open }),
});

const reductions = (operator: string, make: (...sizes: number[]) => Input = shape): Case[] => [
  { rule: `::${operator}`, of: 'the last axis, dropped', inputs: { x: make(2, 3, 5) }, build: (b, { x }) => b.op(operator, [x, b.int64([-1])], { keepdims: 0 }) },
  { rule: `::${operator}`, of: 'two axes, kept', inputs: { x: make(2, 3, 5) }, build: (b, { x }) => b.op(operator, [x, b.int64([2, 0])], { keepdims: 1 }) },
  { rule: `::${operator}`, of: 'everything', inputs: { x: make(3, 1, 4) }, build: (b, { x }) => b.op(operator, [x], { keepdims: 0 }) },
  { rule: `::${operator}`, of: 'an open axis', inputs: { x: make(3, 5) }, open: { x: { 0: 'rows' } }, build: (b, { x }) => b.op(operator, [x, b.int64([0])], { keepdims: 0 }) },
  { rule: `::${operator}`, of: 'no axis', inputs: { x: make(3, 2) }, build: (b, { x }) => b.op(operator, [x, b.int64([])], { noop_with_empty_axes: 1 }) },
];

const gemm = (attributes: Readonly<Record<string, number>>, a: readonly number[], b: readonly number[], c: readonly number[]): Case => ({
  rule: '::Gemm',
  of: JSON.stringify(attributes),
  inputs: { a: shape(...a), b: shape(...b), c: shape(...c) },
  build: apply('Gemm', attributes),
});

const convolution = (of: string, x: readonly number[], w: readonly number[], attributes: Readonly<Record<string, number | string | readonly number[]>> = {}, open?: Case['open']): Case => ({
  rule: '::Conv',
  of,
  inputs: { x: shape(...x), w: shape(...w), bias: shape(w[0]!) },
  build: apply('Conv', attributes),
  ...(open === undefined ? {} : { open }),
});

const slices = (of: string, sizes: readonly number[], parts: readonly (readonly number[])[], open?: Case['open']): Case => ({
  rule: '::Slice',
  of,
  inputs: { x: shape(...sizes) },
  build: (b, { x }) => parts.map(([axis, start, end, step = 1]) => b.op('Slice', [x, b.int64([start!]), b.int64([end!]), b.int64([axis!]), b.int64([step])])),
  ...(open === undefined ? {} : { open }),
});

const crossEntropy = (of: string, attributes: Readonly<Record<string, number | string>>, weighted = false): Case => ({
  rule: '::SoftmaxCrossEntropyLoss',
  of,
  inputs: { scores: shape(3, 4, 2) },
  build: (b, { scores }) =>
    b.op('SoftmaxCrossEntropyLoss', [scores, integers(b, [3, 2], [0, 3, -100, 1, 2, 2].map((label) => (label < 0 && attributes['ignore_index'] === undefined ? 1 : label))), weighted ? constant(b, scores!, [4], [0.5, 2, 1, 0.25]) : undefined], attributes),
});

const cases: readonly Case[] = [
  ...['Abs', 'Neg', 'Exp', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Erf', 'Relu', 'Identity'].flatMap((operator) => [unary(operator), unary(operator, shape(1)), unary(operator, shape(7, 1, 3))]),
  ...['Log', 'Sqrt', 'Reciprocal'].flatMap((operator) => [unary(operator, positive(3, 5)), unary(operator, positive(1))]),
  unary('Gelu', between(-3, 3, 5, 3)),
  unary('Gelu', between(-3, 3, 5, 3), { approximate: 'tanh' }),
  unary('Gelu', between(-3, 3, 7), {}, 'com.microsoft'),
  unary('QuickGelu', between(-3, 3, 7), { alpha: 1.3 }, 'com.microsoft'),
  unary('FastGelu', between(-3, 3, 7), {}, 'com.microsoft'),
  { rule: 'com.microsoft::FastGelu', of: 'with bias', inputs: { x: shape(3, 5), bias: shape(5) }, build: apply('FastGelu', {}, 'com.microsoft') },
  ...['Sign', 'Round'].map((operator): Case => ({ rule: `::${operator}`, of: 'a step', inputs: { x: between(0.1, 0.4, 3) }, build: (b, { x }) => b.mul(x!, b.op(operator, [x])) })),
  { rule: '::Cast', of: 'to the other float', inputs: { x: shape(3, 1) }, build: (b, { x }) => b.cast(b.exp(b.cast(x!, 'float64')), x!.dtype) },
  { rule: '::Clip', of: 'between numbers', inputs: { x: shape(3, 5) }, build: (b, { x }) => b.op('Clip', [x, b.scalar(-0.6, x!.dtype), b.scalar(0.9, x!.dtype)]) },
  { rule: '::Clip', of: 'between values', inputs: { x: shape(3, 5), low: { shape: [], low: -0.51, high: -0.51 }, high: { shape: [], low: 0.77, high: 0.77 } }, build: apply('Clip') },
  { rule: '::Clip', of: 'below', inputs: { x: shape(5) }, build: (b, { x }) => b.op('Clip', [x, undefined, b.scalar(0.3, x!.dtype)]) },
  ...binary('Add'),
  ...binary('Sub'),
  ...binary('Mul'),
  ...binary('Div', positive),
  ...binary('Pow', positive),
  ...['Max', 'Min', 'Sum'].flatMap((operator) => binary(operator, (...sizes) => (sizes.length === 2 || sizes.length === 0 ? between(-1, 1, ...sizes) : between(-1.03, 0.99, ...sizes)))),
  { rule: '::Max', of: 'three', inputs: { x: between(-1, 1, 3, 2), y: between(-1.04, 1.03, 3, 2), z: between(-1.02, 0.97, 2) }, build: apply('Max') },
  { rule: '::Pow', of: 'a number', inputs: { x: shape(3, 5) }, build: (b, { x }) => [b.pow(x!, 2), b.pow(x!, 3)] },
  { rule: '::Pow', of: 'an integer', inputs: { x: shape(4) }, build: (b, { x }) => b.op('Pow', [x, integers(b, [4], [1, 2, 3, 4])]) },
  { rule: '::Mod', of: 'with the divisor\'s sign', inputs: { x: between(-5, 5, 3, 5), y: between(0.7, 1.3, 5) }, build: (b, { x, y }) => b.op('Mod', [x, y], { fmod: 1 }) },
  { rule: '::Where', of: 'broadcast sides', inputs: { x: shape(3, 1), y: shape(5) }, build: (b, { x, y }) => b.where(b.constant(hostTensor('bool', [3, 5], Uint8Array.from({ length: 15 }, (_, index) => (index * 7) % 3 === 0 ? 1 : 0))), x!, y!) },

  ...['ReduceSum', 'ReduceMean', 'ReduceSumSquare', 'ReduceL2', 'ReduceMax', 'ReduceMin'].flatMap((operator) => reductions(operator)),
  { rule: '::TopK', of: 'the largest', inputs: { x: shape(3, 7) }, build: (b, { x }) => b.node('TopK', [x, b.int64([3])], { axis: 1 }, { outputs: 2 })[0]! },
  { rule: '::TopK', of: 'the smallest, first axis', inputs: { x: shape(5, 2) }, build: (b, { x }) => b.node('TopK', [x, b.int64([1])], { axis: 0, largest: 0 }, { outputs: 2 })[0]! },
  ...['Softmax', 'LogSoftmax'].flatMap((operator) => [unary(operator, shape(3, 5), { axis: -1 }), unary(operator, shape(3, 1, 2), { axis: 0 }), unary(operator, shape(1, 1), { axis: 1 })]),
  ...[{ exclusive: 0, reverse: 0 }, { exclusive: 1, reverse: 0 }, { exclusive: 0, reverse: 1 }, { exclusive: 1, reverse: 1 }].map(
    (attributes): Case => ({ rule: '::CumSum', of: JSON.stringify(attributes), inputs: { x: shape(3, 5) }, build: (b, { x }) => b.op('CumSum', [x, integers(b, [], [1])], attributes) }),
  ),
  crossEntropy('mean', { reduction: 'mean' }),
  crossEntropy('mean without some', { reduction: 'mean', ignore_index: -100 }),
  crossEntropy('weighted sum without some', { reduction: 'sum', ignore_index: -100 }, true),
  crossEntropy('weighted mean', { reduction: 'mean' }, true),
  crossEntropy('each', { reduction: 'none', ignore_index: -100 }),

  matmul([3, 5], [5, 2]),
  matmul([2, 3, 5], [5, 1]),
  matmul([2, 3, 5], [2, 5, 7]),
  matmul([2, 1, 3, 5], [3, 5, 2]),
  matmul([2, 3, 4, 5], [2, 1, 5, 3]),
  matmul([2, 3, 2, 5], [1, 3, 5, 2]),
  matmul([1, 5], [2, 2, 5, 3]),
  matmul([5], [5]),
  matmul([5], [5, 3]),
  matmul([5], [2, 5, 3]),
  matmul([3, 5], [5]),
  matmul([2, 3, 5], [5]),
  matmul([2, 3, 5], [5, 4], { x: { 0: 'batch', 1: 'positions' } }),
  matmul([2, 2, 3, 3, 5], [2, 2, 1, 5, 3], { x: { 0: 'batch', 3: 'positions' }, y: { 0: 'batch', 4: 'positions' } }),
  { rule: '::MatMul', of: 'a transposed weight', inputs: { x: shape(2, 3, 5), w: shape(4, 5) }, build: (b, { x, w }) => b.matmul(x!, b.transpose(w!, [1, 0])) },
  gemm({}, [3, 5], [5, 2], [2]),
  gemm({ transA: 1, alpha: 0.5 }, [5, 3], [5, 2], [3, 2]),
  gemm({ transB: 1, beta: 0.25 }, [3, 5], [2, 5], [1]),
  gemm({ transA: 1, transB: 1, alpha: 2 }, [5, 1], [3, 5], [1, 3]),
  ...[{}, { transA: 1, alpha: 0.5 }, { transB: 1 }, { transA: 1, transB: 1 }].map((attributes: Record<string, number>): Case => {
    const turn = (flag: number | undefined, sizes: number[]): Input => shape(2, ...(flag === 1 ? sizes.reverse() : sizes));
    return { rule: 'com.microsoft::FusedMatMul', of: JSON.stringify(attributes), inputs: { a: turn(attributes['transA'], [3, 5]), b: turn(attributes['transB'], [5, 4]) }, build: apply('FusedMatMul', attributes, 'com.microsoft') };
  }),

  { rule: '::Reshape', of: 'known sizes', inputs: { x: shape(3, 4) }, build: (b, { x }) => b.exp(b.reshape(x!, [2, 3, 2])) },
  { rule: '::Reshape', of: 'open sizes', inputs: { x: shape(3, 4, 2) }, open: { x: { 0: 'a', 1: 'b' } }, build: (b, { x }) => b.exp(b.reshape(x!, [-1, 2])) },
  { rule: '::Flatten', of: 'axis 2', inputs: { x: shape(3, 2, 5) }, build: (b, { x }) => b.op('Flatten', [x], { axis: 2 }) },
  { rule: '::Squeeze', of: 'two axes', inputs: { x: shape(1, 3, 1) }, build: (b, { x }) => b.squeeze(x!, [0, 2]) },
  { rule: '::Unsqueeze', of: 'two axes', inputs: { x: shape(3, 2) }, open: { x: { 0: 'rows' } }, build: (b, { x }) => b.unsqueeze(x!, [0, 2]) },
  { rule: '::Transpose', of: 'three axes', inputs: { x: shape(2, 3, 5) }, build: (b, { x }) => b.exp(b.transpose(x!, [2, 0, 1])) },
  { rule: '::Transpose', of: 'reversed axes', inputs: { x: shape(2, 3, 5) }, build: apply('Transpose') },
  { rule: '::Concat', of: 'three', inputs: { x: shape(2, 1), y: shape(2, 3), z: shape(2, 2) }, build: (b, { x, y, z }) => b.exp(b.concat([x!, y!, z!], -1)) },
  { rule: '::Concat', of: 'open sizes', inputs: { x: shape(2, 3), y: shape(3, 3) }, open: { x: { 0: 'a' }, y: { 0: 'b' } }, build: (b, { x, y }) => b.exp(b.concat([x!, y!], 0)) },
  { rule: '::Split', of: 'used in part', inputs: { x: shape(3, 6) }, build: (b, { x }) => b.split(x!, 1, [1, 3, 2]).filter((_, index) => index !== 1).map((part) => b.exp(part)) },
  { rule: '::Split', of: 'open rows', inputs: { x: shape(3, 4) }, open: { x: { 0: 'rows' } }, build: (b, { x }) => b.split(x!, 1, [2, 2])[1]! },
  slices('one range', [7, 3], [[0, 2, 5]]),
  slices('ranges that overlap, meet and leave gaps', [11, 2], [[0, 0, 4], [0, 2, 6], [0, 6, 7], [0, 9, 10]]),
  slices('ranges along two axes', [5, 4], [[0, 1, 3], [1, -2, 2 ** 31], [0, 0, 5]]),
  slices('steps', [7, 3], [[0, 1, 7, 2], [0, 6, -8, -1], [1, 0, 3, 2]]),
  slices('an open axis', [7, 3], [[0, 2, 5], [0, 1, 2 ** 31]], { x: { 0: 'rows' } }),
  slices('steps along an open axis', [7, 3], [[0, 1, 6, 3]], { x: { 0: 'rows' } }),
  slices('beside an open axis', [3, 7], [[1, 2, 5], [1, 4, 6]], { x: { 0: 'rows' } }),
  { rule: '::Slice', of: 'two axes at once', inputs: { x: shape(4, 5) }, build: (b, { x }) => b.op('Slice', [x, b.int64([1, 4]), b.int64([4, 0]), b.int64([0, 1]), b.int64([1, -2])]) },
  { rule: '::Expand', of: 'on both ends', inputs: { x: shape(3, 1) }, build: (b, { x }) => b.expand(x!, [2, 1, 4]) },
  { rule: '::Tile', of: 'two axes', inputs: { x: shape(3, 2) }, build: (b, { x }) => b.op('Tile', [x, b.int64([2, 3])]) },
  { rule: '::Pad', of: 'all sides, with its constant', inputs: { x: shape(3, 2), c: shape() }, build: (b, { x, c }) => b.op('Pad', [x, b.int64([1, 0, 0, 2]), c]) },
  { rule: '::Pad', of: 'one axis, negative', inputs: { x: shape(3, 5) }, build: (b, { x }) => b.op('Pad', [x, b.int64([-1, 2]), undefined, b.int64([1])]) },
  { rule: '::Trilu', of: 'the lower triangle', inputs: { x: shape(2, 3, 4) }, build: (b, { x }) => b.op('Trilu', [x, integers(b, [], [1])], { upper: 0 }) },

  { rule: '::Gather', of: 'rows, some twice', inputs: { x: shape(5, 3) }, build: (b, { x }) => b.exp(b.gather(x!, integers(b, [2, 3], [0, 4, 0, 2, -1, 0]), 0)) },
  { rule: '::Gather', of: 'a middle axis', inputs: { x: shape(2, 5, 3) }, build: (b, { x }) => b.gather(x!, integers(b, [2], [3, 3]), 1) },
  { rule: '::Gather', of: 'one element', inputs: { x: shape(4) }, build: (b, { x }) => b.gather(x!, integers(b, [], [2]), 0) },
  { rule: '::Gather', of: 'open rows', inputs: { x: shape(2, 5, 3) }, open: { x: { 0: 'batch' } }, build: (b, { x }) => b.gather(x!, integers(b, [3], [4, 0, 4]), 1) },
  { rule: '::GatherElements', of: 'repeated positions', inputs: { x: shape(3, 4) }, build: (b, { x }) => b.op('GatherElements', [x, integers(b, [2, 3], [0, 0, 3, 1, 1, 1])], { axis: 1 }) },
  { rule: '::GatherND', of: 'tuples', inputs: { x: shape(3, 4, 2) }, build: (b, { x }) => b.op('GatherND', [x, integers(b, [3, 2], [0, 1, 2, 3, 0, 1])]) },
  ...['none', 'add'].flatMap((reduction): Case[] => [
    { rule: '::ScatterElements', of: reduction, inputs: { x: shape(3, 4), u: shape(2, 2) }, build: (b, { x, u }) => b.exp(b.op('ScatterElements', [x, integers(b, [2, 2], [0, 3, 1, 2]), u], { axis: 1, reduction })) },
    { rule: '::ScatterND', of: reduction, inputs: { x: shape(5, 3), u: shape(2, 3) }, build: (b, { x, u }) => b.exp(b.op('ScatterND', [x, integers(b, [2, 1], [4, 1]), u], { reduction })) },
  ]),

  { rule: '::LayerNormalization', of: 'with bias', inputs: { x: shape(2, 3, 5), scale: shape(5), bias: shape(5) }, build: apply('LayerNormalization') },
  { rule: '::LayerNormalization', of: 'two axes', inputs: { x: shape(3, 2, 3), scale: shape(2, 3) }, build: apply('LayerNormalization', { axis: 1, epsilon: 0.1 }) },
  { rule: '::SimplifiedLayerNormalization', of: 'the last axis', inputs: { x: shape(2, 3, 5), scale: shape(5) }, build: apply('SimplifiedLayerNormalization', { epsilon: 0.01 }) },
  { rule: '::BatchNormalization', of: 'given statistics', inputs: { x: shape(2, 3, 4), scale: shape(3), bias: shape(3), mean: shape(3), variance: positive(3) }, build: apply('BatchNormalization') },

  convolution('one axis', [2, 3, 7], [4, 3, 3]),
  convolution('strides, pads and an open batch', [2, 3, 7, 5], [4, 3, 3, 2], { strides: [2, 3], pads: [1, 0, 2, 1] }, { x: { 0: 'batch' } }),
  convolution('groups and dilation', [2, 4, 9], [6, 2, 3], { group: 2, dilations: [2], pads: [2, 1] }),
  convolution('an end that no window reaches', [1, 2, 8], [2, 2, 2], { strides: [3] }),
  convolution('same size', [2, 2, 5, 5], [2, 2, 3, 2], { auto_pad: 'SAME_UPPER', strides: [2, 1] }),
  convolution('points', [1, 3, 2, 2], [2, 3, 1, 1]),
  unary('GlobalAveragePool', shape(2, 3, 4, 5)),
  { rule: '::AveragePool', of: 'without padding in the mean', inputs: { x: shape(2, 3, 5, 4) }, build: apply('AveragePool', { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] }) },
  { rule: '::AveragePool', of: 'with padding in the mean', inputs: { x: shape(1, 2, 6) }, build: apply('AveragePool', { kernel_shape: [3], pads: [1, 1], count_include_pad: 1 }) },
  { rule: '::MaxPool', of: 'windows that overlap', inputs: { x: shape(2, 2, 6, 5) }, build: apply('MaxPool', { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 0, 1] }) },

  { rule: 'com.microsoft::RotaryEmbedding', of: 'heads', inputs: { x: shape(1, 2, 3, 4) }, build: (b, { x }) => {
    const angles = [0, 0, 0.5, 0.1, 1, 0.2];
    return b.op('RotaryEmbedding', [x, integers(b, [1, 3], [0, 1, 2]), constant(b, x!, [3, 2], angles.map(Math.cos)), constant(b, x!, [3, 2], angles.map(Math.sin))], {}, { domain: 'com.microsoft' });
  } },
];

/** Numbers from low to high in random order, so that no two are closer than the step of a difference. */
function elements({ shape: sizes, low = -1.7, high = 1.9 }: Input, random: Random): number[] {
  const count = elementCount(sizes);
  const values = Array.from({ length: count }, (_, index) => (count === 1 ? (low + high) / 2 : low + ((high - low) * index) / (count - 1)));
  for (let index = count - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    [values[index], values[other]] = [values[other]!, values[index]!];
  }
  return values;
}

function tensorOf(dtype: DType, sizes: readonly number[], values: readonly number[]): HostTensor {
  return hostTensor(dtype, sizes, dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values));
}

/** A case as a graph to a scalar: every output times random weights, summed. */
function lossGraph({ inputs, build, open }: Case, dtype: DType, seed: number): Graph {
  const b = new GraphBuilder('case');
  const random = createRandom(seed);
  const values = Object.fromEntries(Object.entries(inputs).map(([name, { shape: sizes }]) => [name, b.input(name, dtype, sizes.map((size, axis) => open?.[name]?.[axis] ?? size))]));
  const built = build(b, values);
  const outputs = Array.isArray(built) ? (built as readonly Value[]) : [built as Value];
  // A wave over the flattened output: weights for any size, and no two alike.
  const terms = outputs.map((output) => {
    const flat = b.reshape(output, [-1]);
    const count = b.squeeze(b.shapeOf(flat), [0]);
    const places = b.cast(b.op('Range', [integers(b, [], [0]), count, integers(b, [], [1])]), dtype);
    return b.reduceSum(b.mul(flat, b.op('Sin', [b.add(b.mul(places, 1.3), random())])));
  });
  b.output(terms.reduce((left, right) => b.add(left, right)), 'loss');
  return b.build();
}

/** (f(x + h) − f(x − h)) / 2h for every element of every input, in double precision. */
function differences(graph: Graph, values: Readonly<Record<string, readonly number[]>>, shapes: Readonly<Record<string, Input>>): Record<string, number[]> {
  const h = 1e-5;
  const at = (name: string, index: number, step: number): number => {
    const tensors = Object.entries(values).map(([other, list]): [string, HostTensor] => [
      other,
      tensorOf('float64', shapes[other]!.shape, other === name ? list.map((value, place) => (place === index ? value + step : value)) : list),
    ]);
    return Number(evaluateGraph(graph, Object.fromEntries(tensors))['loss']!.data[0]);
  };
  return Object.fromEntries(Object.entries(values).map(([name, list]) => [name, list.map((_, index) => (at(name, index, h) - at(name, index, -h)) / (2 * h))]));
}

describe('gradient rules', () => {
  it('are tested, each of them', () => {
    expect([...gradientRules.keys()].filter((key) => !cases.some(({ rule }) => rule === key))).toEqual([]);
    expect(cases.filter(({ rule }) => !gradientRules.has(rule))).toEqual([]);
  });

  it.each(cases.map((item, index) => [`${item.rule} ${item.of}`, item, index] as const))('%s', (_, item, index) => {
    const random = createRandom(index);
    const values = Object.fromEntries(Object.entries(item.inputs).map(([name, input]) => [name, elements(input, random)]));
    const graph = gradientGraph(lossGraph(item, 'float32', index), { of: 'loss', withRespectTo: Object.keys(item.inputs) });
    validateGraph(graph);
    expect(lossGraph(item, 'float32', index).nodes.map(({ operator, domain }) => operatorKey(operator, domain))).toContain(item.rule);
    const tensors = Object.fromEntries(Object.entries(values).map(([name, list]) => [name, float32Tensor(item.inputs[name]!.shape, list.map(Math.fround))]));
    const found = evaluateGraph(graph, tensors);
    const folded = evaluateGraph(foldConstants(graph, evaluateNode), tensors);
    const expected = differences(lossGraph(item, 'float64', index), values, item.inputs);
    for (const [name, { shape: sizes }] of Object.entries(item.inputs)) {
      const gradient = found[gradientName(name)]!;
      expect(gradient.shape).toEqual(sizes);
      expect(folded[gradientName(name)]).toEqual(gradient);
      const scale = Math.max(1e-2, ...expected[name]!.map(Math.abs));
      for (const [place, value] of (gradient.data as Float32Array).entries()) expect(Math.abs(value - expected[name]![place]!) / scale, `${name}[${String(place)}] is ${String(value)}, expected ${String(expected[name]![place])}`).toBeLessThan(1e-3);
    }
  });
});
