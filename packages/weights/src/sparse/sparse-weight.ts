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
import { isFloat8 } from '../float8.js';
import { groupsPerRow, symmetricZero } from '../scheme.js';
import { sparseBits } from '../stored-bits.js';

/**
 * The sparse form of a matrix: kept entries as they are, bit by bit; pruned ones become +0, or the code that stands for zero on their grid. Whatever mask the matrix had
 * before is forgotten.
 */
export function sparseWeight(weight: DenseWeight | QuantizedWeight | SparseWeight, pattern: SparsityPattern, mask: Uint8Array): SparseWeight {
  if (weight.form === 'sparse') return sparseWeight(weight.values, pattern, mask);
  const [rows, columns] = weight.shape as readonly [number, number];
  const shape = [rows, columns] as const;
  if (weight.form === 'dense') {
    const { dtype, data } = weight.tensor;
    const values = data.slice();
    for (let index = 0; index < mask.length; index++) if (mask[index] === 0) values[index] = 0;
    return { form: 'sparse', shape, pattern, mask, values: { form: 'dense', shape, tensor: hostTensor(dtype, shape, values) } };
  }
  const codes = weight.codes.slice();
  const zeroCode = zeroCodes(weight);
  for (let row = 0, index = 0; row < rows; row++) for (let column = 0; column < columns; column++, index++) if (mask[index] === 0) codes[index] = zeroCode(row, column);
  return { form: 'sparse', shape, pattern, mask, values: { ...weight, codes } };
}

/** A float32 matrix [out, in], or another parameter, in a type that weights are stored in, so that what is evaluated is what is written; float32 for types that are no such thing. */
export function denseWeight(weight: Float32Array, shape: readonly number[], dtype: DType): DenseWeight {
  const tensor =
    dtype === 'float16' ? hostTensor(dtype, shape, float32ToFloat16(weight)) : dtype === 'bfloat16' ? hostTensor(dtype, shape, float32ToBfloat16(weight)) : hostTensor('float32', shape, weight);
  return { form: 'dense', shape, tensor };
}

/** The code that stands for zero at each place of a quantized matrix. */
export function zeroCodes({ scheme, shape, zeros, groupIndex }: Pick<QuantizedWeight, 'scheme' | 'shape' | 'zeros' | 'groupIndex'>): (row: number, column: number) => number {
  // +0 of 8-bit floats.
  if (isFloat8(scheme)) return () => 0;
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

/** True for a plan whose result holds codes: quantized, sparse with quantized values, or factorized with quantized factors. */
export function plansCodes(plan: Pick<ModulePlan, 'produces' | 'bits'>): boolean {
  return plan.produces === 'quantized' || ((plan.produces === 'sparse' || plan.produces === 'factorized') && plan.bits !== undefined);
}

/** The plan of a quantized result where a stage before pruned the matrix: sparse, with the mask of that stage. */
export function planUnderMask(plan: ModulePlan, shape: readonly [number, number], before: ModulePlan | undefined): ModulePlan {
  const { bits, storedBits } = plan;
  if (before?.produces !== 'sparse' || before.sparsity === undefined || bits === undefined) return plan;
  const { pattern, pruned } = before.sparsity;
  return {
    ...plan,
    produces: 'sparse',
    storedBits: sparseBits(shape, pattern, pruned, bits, storedBits),
    writtenBits: storedBits,
    sparsity: before.sparsity,
    estimated: before.estimated,
  };
}
