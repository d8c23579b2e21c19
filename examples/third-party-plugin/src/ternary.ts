import { fromFloat16Bits, toFloat16Bits } from '@pare/core';

/** Codes 1, 2, 3 of the symmetric 2-bit scheme mean −1, 0, +1. */
const zeroCode = 2;

/**
 * Ternary weights (Li, Zhang and Liu, arXiv 1605.04711): w ≈ α·t with t ∈ {−1, 0, +1}. Per run of `groupSize` weights of a row,
 * Δ = threshold · mean|w|, t = sign(w) where |w| > Δ, and α = mean of those |w|, which minimises ‖w − α·t‖² for this t.
 * @param weight [rows, columns] row-major
 * @returns codes [rows, columns]; scales [rows, columns / groupSize], rounded to float16
 */
export function ternarize(weight: Float32Array, rows: number, columns: number, groupSize: number, threshold: number): { codes: Uint8Array; scales: Float32Array; loss: number } {
  const groups = columns / groupSize;
  const codes = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * groups);
  let loss = 0;
  for (let group = 0; group < rows * groups; group++) {
    const values = weight.subarray(group * groupSize, (group + 1) * groupSize);
    const delta = (threshold * values.reduce((sum, value) => sum + Math.abs(value), 0)) / groupSize;
    const large = values.filter((value) => Math.abs(value) > delta).map(Math.abs);
    // A group of zeros has no large weights; any scale describes it.
    const alpha = large.length === 0 ? 1 : fromFloat16Bits(toFloat16Bits(large.reduce((sum, value) => sum + value, 0) / large.length));
    scales[group] = alpha;
    for (const [index, value] of values.entries()) {
      const sign = Math.abs(value) > delta ? Math.sign(value) : 0;
      codes[group * groupSize + index] = zeroCode + sign;
      loss += (value - alpha * sign) ** 2;
    }
  }
  return { codes, scales, loss };
}
