import { type Dimension } from '@pare/core';
import { addDimensions, broadcastShapes, ceilDivide, floorDivide, multiplyDimensions, subtractDimensions, unifyDimensions } from '../types/dimension.js';
import { shapeText, unify, unknownRank, withRank } from './rules.js';
import { attribute, defineOperator, float, int, required, string, type InferenceContext, type InferredOutput, type OperatorSchema } from './schema.js';
import { floats } from './types.js';

/* Matrix products, convolutions, pooling and normalisation. */

/** NumPy's matmul: [..., M, K] · [..., K, N], vectors promoted on their side. Undefined while a rank is unknown. */
export function matrixProductShape(context: InferenceContext, left: readonly Dimension[] | undefined, right: readonly Dimension[] | undefined): Dimension[] | undefined {
  if (left === undefined || right === undefined) return undefined;
  if (left.length === 0 || right.length === 0) context.fail('factors need at least one axis');
  const a = left.length === 1 ? [1, left[0]!] : left;
  const b = right.length === 1 ? [right[0]!, 1] : right;
  const inner = a.at(-1)!;
  if (unifyDimensions(inner, b.at(-2)!) === undefined) context.fail(`inner sizes of ${shapeText(left)} and ${shapeText(right)} differ`);
  const batch = broadcastShapes(a.slice(0, -2), b.slice(0, -2)) ?? context.fail(`leading axes of ${shapeText(left)} and ${shapeText(right)} do not broadcast`);
  return [...batch, ...(left.length === 1 ? [] : [a.at(-2)!]), ...(right.length === 1 ? [] : [b.at(-1)!])];
}

function gemm(context: InferenceContext): readonly InferredOutput[] {
  const a = withRank(context, 0, 2);
  const b = withRank(context, 1, 2);
  if (a === undefined || b === undefined) return unknownRank;
  const [rows, inner] = context.int('transA') === 0 ? [a[0]!, a[1]!] : [a[1]!, a[0]!];
  const [depth, columns] = context.int('transB') === 0 ? [b[0]!, b[1]!] : [b[1]!, b[0]!];
  unify(context, inner, depth, 'inner sizes');
  const shape = [rows, columns];
  const bias = context.shape(2);
  const sum = bias === undefined ? shape : broadcastShapes(shape, bias);
  if (sum?.length !== 2 || sum.some((dimension, axis) => unifyDimensions(dimension, shape[axis]!) === undefined)) {
    context.fail(`C of shape ${shapeText(bias)} does not broadcast to ${shapeText(shape)}`);
  }
  return [{ shape }];
}

type Rounding = 'floor' | 'ceil';

/**
 * Size of one spatial axis after a window of `kernel` steps over it: ⌊(d + begin + end − ((kernel − 1)·dilation + 1)) / stride⌋ + 1, or with the
 * ceiling, less one when the last window would start in the padding behind the data.
 */
function windowed(size: Dimension, kernel: number, stride: number, dilation: number, begin: number, end: number, rounding: Rounding): Dimension {
  const reach = (kernel - 1) * dilation + 1;
  const room = subtractDimensions(addDimensions(size, begin + end), reach);
  if (rounding === 'floor') return addDimensions(floorDivide(room, stride), 1);
  const count = addDimensions(ceilDivide(room, stride), 1);
  return typeof count === 'number' && typeof size === 'number' && (count - 1) * stride >= size + begin ? count - 1 : count;
}

/** Spatial sizes of a convolution or pooling over axes 2…. */
function spatialSizes(context: InferenceContext, sizes: readonly Dimension[], kernel: readonly number[]): Dimension[] {
  const rank = sizes.length;
  const list = (name: string, length: number, value: number): readonly number[] => {
    const given = context.ints(name) ?? new Array<number>(length).fill(value);
    return given.length === length ? given : context.fail(`attribute "${name}" has ${String(given.length)} values, needs ${String(length)}`);
  };
  if (kernel.length !== rank) context.fail(`the kernel has ${String(kernel.length)} axes, the data ${String(rank)} spatial ones`);
  const strides = list('strides', rank, 1);
  const dilations = list('dilations', rank, 1);
  const pads = list('pads', 2 * rank, 0);
  const automatic = context.string('auto_pad');
  const rounding: Rounding = context.attribute('ceil_mode') === 1 ? 'ceil' : 'floor';
  return sizes.map((size, axis) => {
    const stride = strides[axis]!;
    if (stride < 1 || dilations[axis]! < 1 || kernel[axis]! < 1) context.fail('kernel sizes, strides and dilations must be positive');
    // SAME pads so that ⌈d / stride⌉ windows fit.
    if (automatic === 'SAME_UPPER' || automatic === 'SAME_LOWER') return ceilDivide(size, stride);
    const [begin, end] = automatic === 'VALID' ? [0, 0] : [pads[axis]!, pads[axis + rank]!];
    const result = windowed(size, kernel[axis]!, stride, dilations[axis]!, begin, end, rounding);
    return typeof result === 'number' && result < 0 ? context.fail(`spatial axis ${String(axis)} of ${String(size)} is smaller than the kernel`) : result;
  });
}

/** X [N, C, d…], W [M, C/group, k…], B [M]. */
function convolution(context: InferenceContext): readonly InferredOutput[] {
  const x = withRank(context, 0, 3, Infinity);
  const w = withRank(context, 1, 3, Infinity);
  if (x === undefined || w === undefined) return unknownRank;
  if (x.length !== w.length) context.fail(`data ${shapeText(x)} and weight ${shapeText(w)} differ in rank`);
  const group = context.int('group');
  unify(context, x[1]!, multiplyDimensions(w[1]!, group), 'input channels');
  if (typeof w[0] === 'number' && w[0] % group !== 0) context.fail(`${String(w[0])} output channels in ${String(group)} groups`);
  const kernel = context.ints('kernel_shape') ?? w.slice(2);
  if (!kernel.every((size) => typeof size === 'number')) return [{ shape: [x[0]!, w[0]!, ...x.slice(2).map((_, axis) => context.unknown(0, axis + 2))] }];
  return [{ shape: [x[0]!, w[0]!, ...spatialSizes(context, x.slice(2), kernel as readonly number[])] }];
}

function pooling(context: InferenceContext): readonly InferredOutput[] {
  const x = withRank(context, 0, 3, Infinity);
  if (x === undefined) return [{ shape: undefined }, { shape: undefined }];
  const shape = [x[0]!, x[1]!, ...spatialSizes(context, x.slice(2), context.ints('kernel_shape')!)];
  return [{ shape }, { shape }];
}

const windowAttributes = {
  auto_pad: string('NOTSET', ['NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID']),
  dilations: attribute('ints'),
  pads: attribute('ints'),
  strides: attribute('ints'),
} as const;

/** X [N, C, …]; scale, bias, mean and variance [C]. Running statistics come out in training mode only. */
function batchNormalization(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  let channels: Dimension = shape?.[1] ?? 1;
  for (const index of [1, 2, 3, 4]) {
    const vector = withRank(context, index, 1);
    if (vector !== undefined && shape !== undefined) channels = unify(context, channels, vector[0]!, 'channels');
  }
  const statistics = shape === undefined ? undefined : [channels];
  return [{ shape }, { shape: statistics }, { shape: statistics }];
}

/** Normalises over axes `axis`…; mean and inverse deviation keep those axes with size 1. */
export function layerNormalization(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return unknownRank;
  const axis = context.axis(context.int('axis'), shape.length);
  for (const index of [1, 2]) {
    const other = context.inputs[index]?.shape;
    if (other !== undefined && broadcastShapes(shape, other)?.length !== shape.length) context.fail(`input ${String(index)} of shape ${shapeText(other)} does not broadcast to ${shapeText(shape)}`);
  }
  const statistics = shape.map((dimension, index) => (index < axis ? dimension : 1));
  return [{ shape }, { shape: statistics }, { shape: statistics }];
}

const bytes = ['int8', 'uint8'] as const;

export const matrixOperators: readonly OperatorSchema[] = [
  defineOperator('MatMul', {
    inputs: 'A:T B:T',
    outputs: 'Y:T',
    types: { T: [...floats, 'int32', 'int64', 'uint32', 'uint64'] },
    infer: (context) => [{ shape: matrixProductShape(context, context.shape(0), context.shape(1)) }],
  }),
  defineOperator('Gemm', {
    inputs: 'A:T B:T C?:T',
    outputs: 'Y:T',
    types: { T: [...floats, 'int32', 'int64', 'uint32', 'uint64'] },
    attributes: { alpha: float(1), beta: float(1), transA: int(0), transB: int(0) },
    infer: gemm,
  }),
  defineOperator('MatMulInteger', {
    inputs: 'A:T1 B:T2 a_zero_point?:T1 b_zero_point?:T2',
    outputs: 'Y:int32',
    types: { T1: bytes, T2: bytes },
    infer: (context) => [{ shape: matrixProductShape(context, context.shape(0), context.shape(1)) }],
  }),
  defineOperator('QLinearMatMul', {
    inputs: 'a:T1 a_scale:TS a_zero_point:T1 b:T2 b_scale:TS b_zero_point:T2 y_scale:TS y_zero_point:T3',
    outputs: 'y:T3',
    types: { TS: ['float32', 'float16', 'bfloat16'], T1: bytes, T2: bytes, T3: bytes },
    infer: (context) => [{ shape: matrixProductShape(context, context.shape(0), context.shape(3)) }],
  }),
  defineOperator('Conv', {
    inputs: 'X:T W:T B?:T',
    outputs: 'Y:T',
    types: { T: floats },
    attributes: { ...windowAttributes, group: int(1), kernel_shape: attribute('ints') },
    infer: convolution,
  }),
  defineOperator('AveragePool', {
    inputs: 'X:T',
    outputs: 'Y:T',
    types: { T: floats },
    attributes: { ...windowAttributes, ceil_mode: int(0), count_include_pad: int(0), kernel_shape: required('ints') },
    infer: pooling,
  }),
  defineOperator('MaxPool', {
    inputs: 'X:T',
    outputs: 'Y:T Indices?:int64',
    types: { T: [...floats, 'int8', 'uint8'] },
    attributes: { ...windowAttributes, ceil_mode: int(0), kernel_shape: required('ints'), storage_order: int(0) },
    infer: pooling,
  }),
  defineOperator('GlobalAveragePool', {
    inputs: 'X:T',
    outputs: 'Y:T',
    types: { T: floats },
    infer: (context) => [{ shape: withRank(context, 0, 2, Infinity)?.map((dimension, axis) => (axis < 2 ? dimension : 1)) }],
  }),
  defineOperator('BatchNormalization', {
    inputs: 'X:T scale:T1 B:T1 input_mean:T2 input_var:T2',
    outputs: 'Y:T running_mean?:T2 running_var?:T2',
    types: { T: floats, T1: floats, T2: floats },
    attributes: { epsilon: float(1e-5), momentum: float(0.9), training_mode: int(0) },
    infer: batchNormalization,
  }),
  defineOperator('LayerNormalization', {
    inputs: 'X:T Scale:T B?:T',
    outputs: 'Y:T Mean?:rule InvStdDev?:rule',
    types: { T: floats },
    attributes: { axis: int(-1), epsilon: float(1e-5), stash_type: int(1) },
    infer: (context) => {
      // Mean and deviation are computed in `stash_type`: 1 is float32, 16 bfloat16.
      const statistics = context.int('stash_type') === 16 ? 'bfloat16' : context.inputs[0]!.dtype === 'float64' ? 'float64' : 'float32';
      const [output, mean = output, deviation = mean] = layerNormalization(context) as [InferredOutput, InferredOutput?, InferredOutput?];
      return [output, { ...mean, dtype: statistics }, { ...deviation, dtype: statistics }];
    },
  }),
];

