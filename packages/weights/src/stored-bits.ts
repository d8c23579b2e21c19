import { tensorBytes, dtypeBits, type InputScheme, type QuantizationScheme, type SparsityPattern, type WeightForm } from '@pare/core';
import { groupsPerRow, type ScaleType } from './scheme.js';
import { countPruned } from './sparse/masks.js';

/** Bits of a group index entry. */
const groupIndexBits = 32;

/**
 * Bits that a quantized matrix [out, in] stores: codes, scales, zeros at the width of a code, and the group index.
 * Containers add their own padding, which the `size` evaluator sees in the files.
 */
export function quantizedBits(shape: readonly [number, number], scheme: QuantizationScheme, scaleType: ScaleType, groupIndex = false): number {
  const [rows, columns] = shape;
  const grids = scheme.granularity === 'tensor' ? 1 : rows * groupsPerRow(scheme, columns);
  return rows * columns * scheme.bits + grids * (dtypeBits(scaleType) + (scheme.symmetric ? 0 : scheme.bits)) + (groupIndex ? columns * groupIndexBits : 0);
}

/** Bits that the rounding of a layer's inputs stores: a static scale, and its zero point where there is one. */
export function inputBits(input: InputScheme | undefined, scaleType: ScaleType): number {
  if (input === undefined || input.dynamic) return 0;
  return dtypeBits(scaleType) + (input.symmetric ? 0 : input.bits);
}

/**
 * Bits that a sparse matrix [out, in] stores: kept values, and where they stand. Unstructured: one bit of mask for every weight. Grouped: for each kept value its
 * place in the group, log₂ of the group rounded up (2:4 of 16-bit values: 9 bits a weight). Never more than the values with their zeros: below one weight in
 * as many as a value has bits, a mask costs more than it saves and would not be stored.
 * @param valueBits bits of a value
 * @param written bits of all values with their zeros, grids included
 */
export function sparseBits([rows, columns]: readonly [number, number], pattern: SparsityPattern, pruned: number, valueBits: number, written: number): number {
  const weights = rows * columns;
  const kept = weights - pruned;
  const places = pattern.kind === 'unstructured' ? weights : kept * Math.ceil(Math.log2(pattern.group));
  return Math.min(written, written - pruned * valueBits + places);
}

/** Bits that a weight stores, everything counted; a shared weight stores nothing of its own. */
export function storedBits(form: WeightForm): number {
  switch (form.form) {
    case 'dense':
      return tensorBytes(form.tensor) * 8;
    case 'quantized':
      return quantizedBits(form.shape, form.scheme, form.scaleType, form.groupIndex !== undefined) + inputBits(form.input, form.scaleType);
    case 'sparse': {
      const { values } = form;
      const valueBits = values.form === 'dense' ? dtypeBits(values.tensor.dtype) : values.scheme.bits;
      return sparseBits(form.shape, form.pattern, countPruned(form.mask), valueBits, writtenBits(form));
    }
    case 'factorized':
      return storedBits(form.left) + storedBits(form.right);
    case 'tensor-train':
      return form.cores.reduce((sum, core) => sum + tensorBytes(core) * 8, 0);
    case 'shared':
      return 0;
  }
}

/** Bits that a format without a layout for masks writes: sparse matrices and factors with their zeros, other forms as they are stored. */
export function writtenBits(form: WeightForm): number {
  if (form.form === 'factorized') return writtenBits(form.left) + writtenBits(form.right);
  return storedBits(form.form === 'sparse' ? form.values : form);
}
