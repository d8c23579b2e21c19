import type { SparsityPattern } from '@pare/core';
import { pruneSmallest } from './select.js';

/** Writes the scores of a row [in] to `into`: not NaN, the smallest are pruned. */
export type RowScores = (row: number, into: Float32Array) => void;

/** Mask [out, in] that prunes the `count` smallest scores of every row. */
export function pruneRows([rows, columns]: readonly [number, number], scores: RowScores, count: number): Uint8Array {
  const mask = new Uint8Array(rows * columns);
  const values = new Float32Array(columns);
  const scratch = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    scores(row, values);
    pruneSmallest(values, count, mask, row * columns, scratch);
  }
  return mask;
}

/** Mask [out, in] that prunes the `zeros` smallest scores of every `group` neighbouring inputs of a row; the group divides the row. */
export function pruneGroups([rows, columns]: readonly [number, number], scores: RowScores, { zeros, group }: Extract<SparsityPattern, { kind: 'grouped' }>): Uint8Array {
  const mask = new Uint8Array(rows * columns);
  const values = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    scores(row, values);
    for (let start = 0; start < columns; start += group) pruneGroup(values, start, group, zeros, mask, row * columns);
  }
  return mask;
}

/** Prunes the scores of a group that fewer than `zeros` others come before, by size and then by place. */
function pruneGroup(scores: Float32Array, start: number, group: number, zeros: number, mask: Uint8Array, offset: number): void {
  for (let column = start; column < start + group; column++) {
    const score = scores[column]!;
    let before = 0;
    for (let other = start; other < column; other++) if (scores[other]! <= score) before += 1;
    for (let other = column + 1; other < start + group; other++) if (scores[other]! < score) before += 1;
    mask[offset + column] = before < zeros ? 0 : 1;
  }
}

/** Mask [out, in] that prunes the `count` smallest scores of the whole matrix. */
export function pruneMatrix([rows, columns]: readonly [number, number], scores: RowScores, count: number): Uint8Array {
  const mask = new Uint8Array(rows * columns);
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) scores(row, values.subarray(row * columns, (row + 1) * columns));
  pruneSmallest(values, count, mask);
  return mask;
}

/** Pruned entries of a mask. */
export function countPruned(mask: Uint8Array): number {
  let kept = 0;
  for (const entry of mask) kept += entry;
  return mask.length - kept;
}
