import { bfloat16ToFloat32, float16ToFloat32, pareError, type DenseWeight, type QuantizedWeight, type SharedWeight, type WeightForm } from '@pare/core';
import { multiplyOut } from './factorized/multiply-out.js';
import { groupsPerRow, symmetricZero } from './scheme.js';

/** The grid index of every column of a row: the stored group index, or floor(column / groupSize). */
export function columnGroups(weight: Pick<QuantizedWeight, 'scheme' | 'shape' | 'groupIndex'>): Int32Array {
  if (weight.groupIndex !== undefined) return weight.groupIndex;
  const { scheme, shape } = weight;
  return Int32Array.from({ length: shape[1] }, (_, column) => (scheme.granularity === 'group' ? Math.floor(column / scheme.groupSize) : 0));
}

/** Multiplies a quantized matrix out: value = scale · (code − zero), [out·in] row-major, rounded to float32 once. */
export function dequantize(weight: QuantizedWeight, into: Float32Array = new Float32Array(weight.codes.length)): Float32Array {
  const [rows, columns] = weight.shape;
  const { scheme, codes, scales, zeros } = weight;
  const groups = groupsPerRow(scheme, columns);
  const group = columnGroups(weight);
  const fixedZero = symmetricZero(scheme.bits);
  for (let row = 0; row < rows; row++) {
    const grid = scheme.granularity === 'tensor' ? 0 : row * groups;
    for (let column = 0, index = row * columns; column < columns; column++, index++) {
      const at = grid + group[column]!;
      into[index] = scales[at]! * (codes[index]! - (zeros === undefined ? fixedZero : zeros[at]!));
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
  const fixedZero = symmetricZero(scheme.bits);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const grid = scheme.granularity === 'tensor' ? 0 : row * groups;
    for (let column = 0, index = row * columns; column < columns; column++, index++) {
      const at = grid + group[column]!;
      const error = weight[index]! - scales[at]! * (codes[index]! - (zeros === undefined ? fixedZero : zeros[at]!));
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
  if (form.form === 'sparse') return denseFloat32(form.values);
  if (form.form === 'factorized') return multiplyOut(denseFloat32(form.left), denseFloat32(form.right), form.shape);
  return form.form === 'quantized' ? dequantize(form) : denseTensorFloat32(form);
}

function denseTensorFloat32({ tensor }: DenseWeight): Float32Array {
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
