import {
  float32ToBfloat16,
  float32ToFloat16,
  hostTensor,
  type DenseWeight,
  type DType,
  type ModulePlan,
  type QuantizedWeight,
  type SparseWeight,
  type SparsityPattern,
  type WeightForm,
} from '@pare/core';
import { columnGroups } from '../dequantize.js';
import { groupsPerRow, symmetricZero } from '../scheme.js';

/**
 * The sparse form of a dense matrix [out, in]: kept entries in the storage type, so that what is evaluated is what is written, pruned ones +0.
 * @param dtype float64 and types that are no floating point are stored as float32
 */
export function sparseDense(weight: Float32Array, shape: readonly [number, number], pattern: SparsityPattern, mask: Uint8Array, dtype: DType): SparseWeight {
  const kept = weight.map((value, index) => (mask[index] === 1 ? value : 0));
  const tensor =
    dtype === 'float16' ? hostTensor(dtype, shape, float32ToFloat16(kept)) : dtype === 'bfloat16' ? hostTensor(dtype, shape, float32ToBfloat16(kept)) : hostTensor('float32', shape, kept);
  return { form: 'sparse', shape, pattern, mask, values: { form: 'dense', shape, tensor } };
}

/** The sparse form of a quantized matrix: pruned entries get the code that stands for zero on their grid, the others keep theirs. */
export function sparseQuantized(weight: QuantizedWeight, pattern: SparsityPattern, mask: Uint8Array): SparseWeight {
  const codes = weight.codes.slice();
  const zeroCode = zeroCodes(weight);
  const [rows, columns] = weight.shape;
  for (let row = 0, index = 0; row < rows; row++) for (let column = 0; column < columns; column++, index++) if (mask[index] === 0) codes[index] = zeroCode(row, column);
  return { form: 'sparse', shape: weight.shape, pattern, mask, values: { ...weight, codes } };
}

/** The code that stands for zero at each place of a quantized matrix. */
export function zeroCodes({ scheme, shape, zeros, groupIndex }: Pick<QuantizedWeight, 'scheme' | 'shape' | 'zeros' | 'groupIndex'>): (row: number, column: number) => number {
  if (zeros === undefined) {
    const zero = symmetricZero(scheme.bits);
    return () => zero;
  }
  if (scheme.granularity === 'tensor') return () => zeros[0]!;
  const groups = groupsPerRow(scheme, shape[1]);
  const group = columnGroups({ scheme, shape, groupIndex });
  return (row, column) => zeros[row * groups + group[column]!]!;
}

/** The quantized matrix in a form: the form itself, or the values of a sparse one. */
export function quantizedPart(form: WeightForm): QuantizedWeight | undefined {
  if (form.form === 'quantized') return form;
  return form.form === 'sparse' && form.values.form === 'quantized' ? form.values : undefined;
}

/** True for a plan whose result holds codes: quantized, or sparse with quantized values. */
export function plansCodes(plan: Pick<ModulePlan, 'produces' | 'bits'>): boolean {
  return plan.produces === 'quantized' || (plan.produces === 'sparse' && plan.bits !== undefined);
}

/** The dense or quantized matrix that stands behind a form with a mask of its own; other forms as they are. */
export function unmasked(form: Exclude<WeightForm, { form: 'shared' }>): DenseWeight | QuantizedWeight {
  return form.form === 'sparse' ? form.values : form;
}
