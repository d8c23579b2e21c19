import type { RowScores } from '@pare/weights';
import { pruneSmallest } from '@pare/weights';

/** How close to the sparsity asked for the search has to come, and the width of the interval at which it gives up. */
const tolerance = 0.001;

/**
 * Mask [out, in] of Wanda's variant: in each row the smallest metrics whose sum is at most α times the row's are pruned. α is halved down on in [0, 0.8] until the
 * share of pruned weights is within 0.001 of the one asked for.
 */
export function pruneByShare([rows, columns]: readonly [number, number], scores: RowScores, sparsity: number): Uint8Array {
  const metrics = new Float32Array(rows * columns);
  const sums = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const own = metrics.subarray(row * columns, (row + 1) * columns);
    scores(row, own);
    let sum = 0;
    for (const [column, metric] of own.slice().sort().entries()) sums[row * columns + column] = sum += metric;
  }
  const countsAt = (alpha: number): Int32Array => Int32Array.from({ length: rows }, (_, row) => countBelow(sums.subarray(row * columns, (row + 1) * columns), alpha));
  let [low, high] = [0, 0.8];
  let alpha = 0.4;
  let counts = countsAt(alpha);
  for (;;) {
    const share = counts.reduce((sum, count) => sum + count, 0) / (rows * columns);
    if (Math.abs(share - sparsity) <= tolerance || high - low < tolerance) break;
    if (share > sparsity) high = alpha;
    else low = alpha;
    alpha = (low + high) / 2;
    counts = countsAt(alpha);
  }
  const mask = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) pruneSmallest(metrics.subarray(row * columns, (row + 1) * columns), counts[row]!, mask, row * columns);
  return mask;
}

/** How many running sums are at most α times the last. */
function countBelow(sums: Float64Array, alpha: number): number {
  const limit = alpha * sums[sums.length - 1]!;
  let [low, high] = [0, sums.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
