import type { DeviceTensor } from '@pare/core';
import type { DeviceLosses } from './device-losses.js';
import type { TrialMatrix } from './trial-matrix.js';

/** Ranges that are tried: 1, 0.95 … 0.55 of the largest magnitude of a group (grid 20, maximum shrink 0.5). */
const candidates = 10;
const step = 1 / 20;

/** Where each group of a matrix is best cut off. */
export interface ClipLimits {
  /** Largest magnitude kept, [out, groups]. */
  readonly limits: Float64Array;
  /** Error of the uncut and of the chosen ranges, Σ over rows, groups and tokens. */
  readonly before: number;
  readonly after: number;
}

/**
 * For every row and group of W·diag(s) the range ±c of least Σ over tokens of (Σ_{j ∈ g} (x_j/s_j)·(Q(clamp(v_j, ±c)) − v_j))², v = w·s: the error of the group's part of the output. It follows from
 * the diagonal blocks of the Gram matrix, for all calibration tokens. The uncut range is the first candidate and stays where no other is better.
 */
export async function searchClip(losses: DeviceLosses, matrix: TrialMatrix, scales: Float64Array, groupSize: number, gram: DeviceTensor): Promise<ClipLimits> {
  using cuts = await matrix.cuts(scales);
  const { largest } = cuts;
  const groups = scales.length / groupSize;
  const rows = largest.length / groups;
  const limits = largest.slice();
  const least = new Float64Array(rows * groups).fill(Infinity);
  let before = 0;
  using blocks = await losses.gramBlocks(gram, groupSize);
  for (let candidate = 0; candidate < candidates; candidate++) {
    const shrink = 1 - candidate * step;
    const found = await losses.groups(await cuts.error(shrink), blocks);
    for (let row = 0, index = 0; row < rows; row++) {
      for (let group = 0; group < groups; group++, index++) {
        const value = found[group * rows + row]!;
        if (candidate === 0) before += value;
        if (!(value < least[index]!)) continue;
        least[index] = value;
        limits[index] = shrink * largest[index]!;
      }
    }
  }
  return { limits, before, after: least.reduce((sum, value) => sum + value, 0) };
}

/** Cuts the groups of a matrix [out, in] off at their limits, in place. */
export function clampGroups(weight: Float32Array, groupSize: number, limits: Float64Array): void {
  for (let start = 0, index = 0; start < weight.length; start += groupSize, index++) {
    // In the float32 of the weights, so that the largest one that is kept stays as it is.
    const limit = Math.fround(limits[index]!);
    for (let at = start; at < start + groupSize; at++) weight[at] = Math.max(-limit, Math.min(limit, weight[at]!));
  }
}
