import type { SparsityPattern } from '@pare/core';

export const unstructured: SparsityPattern = { kind: 'unstructured' };

/** Reads `unstructured` or N:M (N zeros in every M neighbouring inputs of a row, 0 < N < M); undefined for anything else. */
export function parseSparsityPattern(text: string): SparsityPattern | undefined {
  if (text === 'unstructured') return unstructured;
  const match = /^([1-9]\d{0,2}):([1-9]\d{0,2})$/.exec(text);
  const [zeros, group] = [Number(match?.[1]), Number(match?.[2])];
  return zeros < group ? { kind: 'grouped', zeros, group } : undefined;
}

/** The pattern as recipes write it: `unstructured`, `2:4`. */
export function sparsityPatternText(pattern: SparsityPattern): string {
  return pattern.kind === 'unstructured' ? pattern.kind : `${String(pattern.zeros)}:${String(pattern.group)}`;
}

export function samePattern(a: SparsityPattern, b: SparsityPattern): boolean {
  return sparsityPatternText(a) === sparsityPatternText(b);
}

/** Weights of a matrix [out, in] that a grouped pattern prunes; `in` is a multiple of the group. */
export function prunedByGroups([rows, columns]: readonly [number, number], { zeros, group }: { readonly zeros: number; readonly group: number }): number {
  return (rows * columns * zeros) / group;
}
