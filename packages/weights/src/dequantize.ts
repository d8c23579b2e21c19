import { bfloat16ToFloat32, float16ToFloat32, pareError, type HostTensor, type QuantizedWeight, type SharedWeight, type TensorTrainWeight, type WeightForm } from '@pare/core';
import { multiplyOut } from './factorized/multiply-out.js';
import { float8Values, isFloat8 } from './float8.js';
import { groupsPerRow, symmetricZero } from './scheme.js';
import { createTrainDecoder, type TrainDecoder } from './tensor-train/decode.js';

/** The grid index of every column of a row: the stored group index, or floor(column / groupSize). */
export function columnGroups(weight: Pick<QuantizedWeight, 'scheme' | 'shape' | 'groupIndex'>): Int32Array {
  if (weight.groupIndex !== undefined) return weight.groupIndex;
  const { scheme, shape } = weight;
  return Int32Array.from({ length: shape[1] }, (_, column) => (scheme.granularity === 'group' ? Math.floor(column / scheme.groupSize) : 0));
}

/** Multiplies a quantized matrix out: value = scale · (code − zero), or scale · float8(code), [out·in] row-major, rounded to float32 once. */
export function dequantize(weight: QuantizedWeight, into: Float32Array = new Float32Array(weight.codes.length)): Float32Array {
  const [rows, columns] = weight.shape;
  const { scheme, codes, scales, zeros } = weight;
  const groups = groupsPerRow(scheme, columns);
  const group = columnGroups(weight);
  const floats = isFloat8(scheme);
  const fixedZero = symmetricZero(scheme.bits);
  for (let row = 0; row < rows; row++) {
    const grid = scheme.granularity === 'tensor' ? 0 : row * groups;
    for (let column = 0, index = row * columns; column < columns; column++, index++) {
      const at = grid + group[column]!;
      into[index] = scales[at]! * (floats ? float8Values[codes[index]!]! : codes[index]! - (zeros === undefined ? fixedZero : zeros[at]!));
    }
  }
  return into;
}

/** Σ (ŵ − w)² between a matrix and its quantized form. */
export function squaredError(weight: Float32Array, form: QuantizedWeight): number {
  const [rows, columns] = form.shape;
  const { scheme, codes, scales, zeros } = form;
  const groups = groupsPerRow(scheme, columns);
  const group = columnGroups(form);
  const floats = isFloat8(scheme);
  const fixedZero = symmetricZero(scheme.bits);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const grid = scheme.granularity === 'tensor' ? 0 : row * groups;
    for (let column = 0, index = row * columns; column < columns; column++, index++) {
      const at = grid + group[column]!;
      const error = weight[index]! - scales[at]! * (floats ? float8Values[codes[index]!]! : codes[index]! - (zeros === undefined ? fixedZero : zeros[at]!));
      sum += error * error;
    }
  }
  return sum;
}

/**
 * Any weight that stands on its own as float32 in its logical shape. float32 weights are returned as they are held, not copied.
 * @throws PARE_FORM_UNSUPPORTED for tensors of integers.
 */
export function denseFloat32(form: Exclude<WeightForm, SharedWeight>): Float32Array {
  switch (form.form) {
    case 'dense':
      return tensorFloat32(form.tensor);
    case 'quantized':
      return dequantize(form);
    case 'sparse':
      return denseFloat32(form.values);
    case 'factorized':
      return multiplyOut(denseFloat32(form.left), denseFloat32(form.right), form.shape);
    case 'tensor-train':
      return decodeAllRows(form);
  }
}

/** Reads single rows of a matrix in tensor trains. */
export function trainDecoder(form: TensorTrainWeight): TrainDecoder {
  return createTrainDecoder(form, tensorFloat32);
}

function decodeAllRows(form: TensorTrainWeight): Float32Array {
  const [rows, columns] = form.shape;
  const values = new Float32Array(rows * columns);
  const decoder = trainDecoder(form);
  for (let row = 0; row < rows; row++) decoder.decode(row, values.subarray(row * columns, (row + 1) * columns));
  return values;
}

function tensorFloat32(tensor: HostTensor): Float32Array {
  switch (tensor.dtype) {
    case 'float32':
      return tensor.data as Float32Array;
    case 'float16':
      return float16ToFloat32(tensor.data as Uint16Array);
    case 'bfloat16':
      return bfloat16ToFloat32(tensor.data as Uint16Array);
    case 'float64':
      return Float32Array.from(tensor.data as Float64Array);
    default:
      throw pareError('PARE_FORM_UNSUPPORTED', { operation: 'reading a weight as float32', found: `a dense tensor of ${tensor.dtype}`, allowed: 'float64, float32, float16, bfloat16' });
  }
}
