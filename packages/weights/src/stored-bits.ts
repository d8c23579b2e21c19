import { tensorBytes, dtypeBits, type QuantizationScheme, type WeightForm } from '@pare/core';
import { groupsPerRow, type ScaleType } from './scheme.js';

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

/** Bits that a weight stores, everything counted; a shared weight stores nothing of its own. */
export function storedBits(form: WeightForm): number {
  switch (form.form) {
    case 'dense':
      return tensorBytes(form.tensor) * 8;
    case 'quantized':
      return quantizedBits(form.shape, form.scheme, form.scaleType, form.groupIndex !== undefined);
    case 'shared':
      return 0;
  }
}
