import type { QuantizedWeight } from '@pare/core';
import type { StoredPart } from '@pare/hf-folder';
import { encodeScales, groupsPerRow, packedCodes, packRows, transposeArray, wordsPerRow } from '@pare/weights';

/**
 * The tensors of a quantized matrix [out, in] in compressed-tensors' `pack-quantized` layout, described at once and packed on demand:
 * `weight_packed` int32 [out, ceil(in·bits/32)], lowest bits first along the inputs; `weight_scale` [out, G], [out, 1] or [1] in the type of
 * the scales; `weight_shape` int64 [2]; for asymmetric schemes `weight_zero_point`, packed along the rows, int32 [ceil(out·bits/32), G], or
 * one int8; with a group index `weight_g_idx` int32 [in].
 */
export function packedParts(form: QuantizedWeight): readonly StoredPart[] {
  const [rows, columns] = form.shape;
  const { bits, granularity } = form.scheme;
  const groups = groupsPerRow(form.scheme, columns);
  const { zeros, groupIndex, scaleType } = form;
  const parts: StoredPart[] = [
    { part: 'weight_packed', dtype: 'int32', shape: [rows, wordsPerRow(columns, bits)], data: () => packedCodes(form) },
    { part: 'weight_scale', dtype: scaleType, shape: granularity === 'tensor' ? [1] : [rows, groups], data: () => encodeScales(form.scales, scaleType, [form.scales.length]).data },
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

/** Zero points [rows, groups] packed down the rows: words [ceil(rows·bits/32), groups]. */
function packZeros(zeros: Uint8Array, rows: number, groups: number, bits: number): Int32Array {
  const byGroup = transposeArray(zeros, rows, groups);
  const packed = packRows(byGroup, [groups, rows], bits);
  return transposeArray(packed, groups, packed.length / groups);
}
