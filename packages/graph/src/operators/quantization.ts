import { type Dimension } from '@pare/core';
import { dtypeOfOnnxCode, onnxTypeName } from '../types/element-type.js';
import { unifyDimensions } from '../types/dimension.js';
import { shapeText } from './rules.js';
import { defineOperator, int, type InferenceContext, type InferredOutput, type OperatorSchema } from './schema.js';

/* Operators between real numbers and integer codes. */

const codes = ['int8', 'uint8', 'int16', 'uint16', 'int4', 'uint4'] as const;

/**
 * Scale shapes: a scalar (or [1]) for the whole tensor, [d_axis] for one grid a slice, or with `block_size` B the input's shape with ⌈d_axis / B⌉
 * along the axis.
 */
function checkScale(context: InferenceContext): void {
  const shape = context.shape(0);
  const scale = context.shape(1);
  const zero = context.inputs[2]?.shape;
  const single = (shape: readonly Dimension[] | undefined): boolean => shape?.every((dimension) => dimension === 1) === true;
  if (scale !== undefined && zero !== undefined && !(single(scale) && single(zero)) && (scale.length !== zero.length || scale.some((dimension, axis) => unifyDimensions(dimension, zero[axis]!) === undefined))) {
    context.fail(`scale ${shapeText(scale)} and zero point ${shapeText(zero)} differ in shape`);
  }
  if (shape === undefined || scale === undefined || scale.length === 0 || (scale.length === 1 && single(scale))) return;
  const block = context.int('block_size');
  const axis = context.axis(context.int('axis'), Math.max(1, shape.length));
  const fits = (dimension: Dimension, wanted: Dimension): boolean => unifyDimensions(dimension, wanted) !== undefined;
  const size = shape[axis] ?? 1;
  if (block === 0) {
    if (scale.length !== 1 || !fits(scale[0]!, size)) context.fail(`scale ${shapeText(scale)} does not fit axis ${String(axis)} of ${shapeText(shape)}`);
  } else {
    const blocks = typeof size === 'number' ? Math.ceil(size / block) : undefined;
    const ok = scale.length === shape.length && scale.every((dimension, index) => (index === axis ? blocks === undefined || fits(dimension, blocks) : fits(dimension, shape[index]!)));
    if (!ok) context.fail(`scale ${shapeText(scale)} does not fit ${shapeText(shape)} in blocks of ${String(block)} along axis ${String(axis)}`);
  }
}

function quantize(context: InferenceContext): readonly InferredOutput[] {
  checkScale(context);
  const code = context.int('output_dtype');
  const declared = code === 0 ? undefined : (dtypeOfOnnxCode(code) ?? context.fail(`output_dtype is ${onnxTypeName(code)}, which is not supported`));
  const zero = context.inputs[2]?.dtype;
  if (declared !== undefined && zero !== undefined && declared !== zero) context.fail(`output_dtype is ${declared}, the zero point ${zero}`);
  return [{ shape: context.shape(0), dtype: zero ?? declared ?? 'uint8' }];
}

export const quantizationOperators: readonly OperatorSchema[] = [
  defineOperator('QuantizeLinear', {
    inputs: 'x:T1 y_scale:T1 y_zero_point?:T2',
    outputs: 'y:rule',
    types: { T1: ['float32', 'float16', 'bfloat16', 'int32'], T2: codes },
    attributes: { axis: int(1), block_size: int(0), output_dtype: int(0), saturate: int(1) },
    infer: quantize,
  }),
  defineOperator('DequantizeLinear', {
    inputs: 'x:T1 x_scale:T2 x_zero_point?:T1',
    outputs: 'y:T2',
    types: { T1: [...codes, 'int32'], T2: ['float32', 'float16', 'bfloat16'] },
    attributes: { axis: int(1), block_size: int(0) },
    infer: (context) => {
      checkScale(context);
      return [{ shape: context.shape(0) }];
    },
  }),
  defineOperator('DynamicQuantizeLinear', {
    inputs: 'x:float32',
    outputs: 'y:uint8 y_scale:float32 y_zero_point:uint8',
    infer: (context) => [{ shape: context.shape(0) }, { shape: [] }, { shape: [] }],
  }),
];
