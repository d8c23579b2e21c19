import { float32Tensor, hostTensor, pareError, type DType, type HostTensor, type QuantizedWeight, type TensorTrainWeight, type WeightForm } from '@pare/core';
import type { GraphBuilder, Value } from '@pare/graph';
import { inputOf } from './input-quantization.js';
import { InputRounding, staticInputConstants } from './lower-input.js';
import { encodeScales } from './serialize.js';
import { float8Values, isFloat8 } from './float8.js';
import { groupsPerRow, symmetricZero } from './scheme.js';
import { decodeTrains, lookUpTrains } from './tensor-train/lower.js';
import { trainCoreName, trainShape } from './tensor-train/tensor-train-weight.js';

/**
 * Adds a weight's stored parts to a graph as constants named after `name`, and the operators that make the dense float32 matrix [out, in] of them.
 * Codes of up to 4 bits are uint4 tensors, wider ones uint8; scales keep their storage type. Grids that lie in runs of a row use one DequantizeLinear
 * (opset 21), columns with a group index or a shorter last group gather their scales.
 * 8-bit floats are looked up in the table of their 256 values: backends know no such element type.
 * Sparse matrices are their values with the zeros in place: products of ONNX know no masks. Factorized ones are multiplied out here; `lowerLinear` keeps their factors.
 * Tensor trains are multiplied out for all rows; `lowerLookup` does so for those that are asked for.
 * @throws PARE_FORM_UNSUPPORTED for a shared weight: lower the weight that it shares.
 */
export function lowerWeight(builder: GraphBuilder, form: WeightForm, name: string): Value {
  switch (form.form) {
    case 'dense':
      return asFloat32(builder, builder.initializer(name, form.tensor));
    case 'quantized':
      if (isFloat8(form.scheme)) return lowerFloat8(builder, form, name);
      return form.groupIndex === undefined && form.shape[1] % form.scheme.groupSize === 0 ? lowerRuns(builder, form, name) : lowerGathered(builder, form, name);
    case 'sparse':
      return lowerWeight(builder, form.values, name);
    case 'factorized':
      return builder.matmul(lowerWeight(builder, form.left, `${name}.left`), lowerWeight(builder, form.right, `${name}.right`));
    case 'tensor-train':
      return decodeTrains(builder, trainCores(builder, form, name), trainShape(form), form.shape[1]);
    case 'shared':
      throw pareError('PARE_FORM_UNSUPPORTED', { operation: 'lowering to a graph', found: `it is stored with "${form.with}"`, allowed: 'weights that stand on their own' });
  }
}

/**
 * Adds the product x·Wᵀ of inputs [..., in] with a weight [out, in] to a graph: [..., out]. A factorized weight takes two products, x·rightᵀ·leftᵀ: r·(in + out)
 * multiplications a row instead of in·out. Where the weight says so, inputs are rounded before the product.
 * @throws PARE_FORM_UNSUPPORTED for a shared weight
 */
export function lowerLinear(builder: GraphBuilder, x: Value, form: WeightForm, name: string): Value {
  if (form.form === 'factorized') return lowerLinear(builder, lowerLinear(builder, x, form.right, `${name}.right`), form.left, `${name}.left`);
  const input = inputOf(form);
  const rounded = input === undefined ? x : new InputRounding(builder).round(x, input, staticInputConstants(builder, input));
  return builder.matmul(rounded, builder.transpose(lowerWeight(builder, form, name), [1, 0]));
}

/**
 * Adds a look-up of rows to a graph: integer ids of any shape → [...ids, columns]. Of tensor trains only these rows are multiplied out.
 * @throws PARE_FORM_UNSUPPORTED for a shared weight
 */
export function lowerLookup(builder: GraphBuilder, ids: Value, form: WeightForm, name: string): Value {
  if (form.form === 'tensor-train') return lookUpTrains(builder, trainCores(builder, form, name), trainShape(form), ids, form.shape[1]);
  return builder.gather(lowerWeight(builder, form, name), ids, 0);
}

function trainCores(builder: GraphBuilder, { cores }: TensorTrainWeight, name: string): Value[] {
  return cores.map((core, index) => asFloat32(builder, builder.initializer(trainCoreName(name, index), core)));
}

function lowerRuns(builder: GraphBuilder, form: QuantizedWeight, name: string): Value {
  const { scheme, shape, zeros } = form;
  const [rows, columns] = shape;
  const { granularity, groupSize } = scheme;
  const gridShape = granularity === 'tensor' ? [] : granularity === 'channel' ? [rows] : [rows, columns / groupSize];
  const grids = form.scales.length;
  const attributes: Record<string, number> = granularity === 'tensor' ? {} : granularity === 'channel' ? { axis: 0 } : { axis: 1, block_size: groupSize };
  const codes = builder.initializer(name, codeTensor(form.codes, shape, scheme.bits));
  const scales = scalesValue(builder, form, gridShape, name);
  const zeroCodes = zeros ?? new Uint8Array(grids).fill(symmetricZero(scheme.bits));
  const zeroPoints = builder.initializer(`${name}.zeros`, codeTensor(zeroCodes, gridShape, scheme.bits));
  return builder.op('DequantizeLinear', [codes, scales, zeroPoints], attributes);
}

/** (code − zero of the column's group) · scale of the column's group. */
function lowerGathered(builder: GraphBuilder, form: QuantizedWeight, name: string): Value {
  const { scheme, shape, zeros } = form;
  const [rows, columns] = shape;
  const gridShape = [rows, groupsPerRow(scheme, columns)];
  const index = groupIndexValue(builder, form, name);
  // Codes of 4 bits become floats through DequantizeLinear with scale 1: engines lack a Cast for them.
  const number = (values: Uint8Array, of: readonly number[], suffix: string, zero: number): Value => {
    const tensor = codeTensor(values, of, scheme.bits);
    const zeroPoint = builder.constant(codeTensor(Uint8Array.of(zero), [], scheme.bits));
    return builder.op('DequantizeLinear', [builder.initializer(`${name}${suffix}`, tensor), builder.scalar(1), zeroPoint]);
  };
  const scales = builder.gather(scalesValue(builder, form, gridShape, name), index, 1);
  if (zeros === undefined) return builder.mul(number(form.codes, shape, '', symmetricZero(scheme.bits)), scales);
  const offsets = builder.gather(number(zeros, gridShape, '.zeros', 0), index, 1);
  return builder.mul(builder.sub(number(form.codes, shape, '', 0), offsets), scales);
}

/** float8(code) · scale of the column's group. */
function lowerFloat8(builder: GraphBuilder, form: QuantizedWeight, name: string): Value {
  const { scheme, shape } = form;
  const [rows, columns] = shape;
  const { granularity } = scheme;
  // NaN codes do not occur in weights (`structureProblem`).
  const table = builder.constant(float32Tensor([256], float8Values.map((value) => (Number.isNaN(value) ? 0 : value))));
  const values = builder.gather(table, builder.cast(builder.initializer(name, hostTensor('uint8', shape, form.codes)), 'int32'), 0);
  if (granularity !== 'group') return builder.mul(values, scalesValue(builder, form, granularity === 'tensor' ? [] : [rows, 1], name));
  const groups = groupsPerRow(scheme, columns);
  const scales = scalesValue(builder, form, [rows, groups], name);
  return builder.mul(values, builder.gather(scales, groupIndexValue(builder, form, name), 1));
}

/** The group of every column, for gathering grids. */
function groupIndexValue(builder: GraphBuilder, { scheme, shape: [, columns], groupIndex }: QuantizedWeight, name: string): Value {
  const groups = groupIndex ?? Int32Array.from({ length: columns }, (_, column) => Math.floor(column / scheme.groupSize));
  return builder.initializer(`${name}.group_index`, hostTensor('int32', [columns], groups));
}

function scalesValue(builder: GraphBuilder, form: QuantizedWeight, shape: readonly number[], name: string): Value {
  return asFloat32(builder, builder.initializer(`${name}.scales`, encodeScales(form.scales, form.scaleType, shape)));
}

function asFloat32(builder: GraphBuilder, value: Value): Value {
  return value.dtype === 'float32' ? value : builder.cast(value, 'float32');
}

/** Codes as a uint4 tensor, two to a byte, when they fit, else uint8. */
function codeTensor(codes: Uint8Array, shape: readonly number[], bits: number): HostTensor {
  const dtype: DType = bits <= 4 ? 'uint4' : 'uint8';
  if (dtype === 'uint8') return hostTensor(dtype, shape, codes);
  const packed = new Uint8Array(Math.ceil(codes.length / 2));
  for (let index = 0; index < codes.length; index++) packed[index >> 1]! |= codes[index]! << ((index & 1) * 4);
  return hostTensor(dtype, shape, packed);
}
