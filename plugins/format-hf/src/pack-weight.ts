import { float32ToBfloat16, float32ToFloat16, type DType, type QuantizedWeight, type TypedArray } from '@pare/core';
import { groupsPerRow, packRows, wordsPerRow } from '@pare/weights';

/** One of the tensors that a quantized matrix is stored in. */
export interface PackedPart {
  /** Last part of its name: `weight_packed`. */
  readonly part: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  data(): TypedArray;
}

/**
 * The tensors of a quantized matrix [out, in] in compressed-tensors' `pack-quantized` layout, described at once and packed on demand:
 * `weight_packed` int32 [out, ceil(in·bits/32)], lowest bits first along the inputs; `weight_scale` [out, G], [out, 1] or [1] in the type of
 * the scales; `weight_shape` int64 [2]; for asymmetric schemes `weight_zero_point`, packed along the rows, int32 [ceil(out·bits/32), G], or
 * one int8; with a group index `weight_g_idx` int32 [in].
 */
export function packedParts(form: QuantizedWeight): readonly PackedPart[] {
  const [rows, columns] = form.shape;
  const { bits, granularity } = form.scheme;
  const groups = groupsPerRow(form.scheme, columns);
  const { zeros, groupIndex, scaleType } = form;
  const parts: PackedPart[] = [
    { part: 'weight_packed', dtype: 'int32', shape: [rows, wordsPerRow(columns, bits)], data: () => packRows(form.codes, form.shape, bits) },
    { part: 'weight_scale', dtype: scaleType, shape: granularity === 'tensor' ? [1] : [rows, groups], data: () => scaleData(form) },
    { part: 'weight_shape', dtype: 'int64', shape: [2], data: () => BigInt64Array.from(form.shape, BigInt) },
  ];
  if (zeros !== undefined && granularity === 'tensor') {
    // A single zero point is stored as a signed number, like the codes before packing.
    parts.push({ part: 'weight_zero_point', dtype: 'int8', shape: [1], data: () => Int8Array.of(zeros[0]! - 2 ** (bits - 1)) });
  } else if (zeros !== undefined) {
    parts.push({ part: 'weight_zero_point', dtype: 'int32', shape: [wordsPerRow(rows, bits), groups], data: () => packZeros(zeros, rows, groups, bits) });
  }
  if (groupIndex !== undefined) parts.push({ part: 'weight_g_idx', dtype: 'int32', shape: [columns], data: () => groupIndex });
  return parts;
}

function scaleData({ scales, scaleType }: QuantizedWeight): TypedArray {
  switch (scaleType) {
    case 'float32':
      return scales;
    case 'float16':
      return float32ToFloat16(scales);
    case 'bfloat16':
      return float32ToBfloat16(scales);
  }
}

/** Zero points [rows, groups] packed down the rows: words [ceil(rows·bits/32), groups]. */
function packZeros(zeros: Uint8Array, rows: number, groups: number, bits: number): Int32Array {
  const byGroup = transposed(zeros, rows, groups, new Uint8Array(zeros.length));
  const packed = packRows(byGroup, [groups, rows], bits);
  return transposed(packed, groups, packed.length / groups, new Int32Array(packed.length));
}

/** [rows, columns] as [columns, rows]. */
function transposed<T extends Uint8Array | Int32Array>(source: T, rows: number, columns: number, target: T): T {
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) target[column * rows + row] = source[row * columns + column]!;
  return target;
}
