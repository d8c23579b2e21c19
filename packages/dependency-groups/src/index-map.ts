import type { IndexRun } from '@pare/core';
import { resolve, type Axis } from './axis.js';

/**
 * Where the units of a coupled axis lie on the axis of a tensor: unit u covers offset + u·length … + length − 1, again at each step of the repeats.
 * A head of 64 rows has length 64; a channel inside every head repeats once a head with length 1.
 */
export interface IndexMap {
  readonly offset: number;
  readonly length: number;
  readonly repeats: readonly { readonly count: number; readonly stride: number }[];
}

/** The undivided axes that an axis is made of, each with the place of its indices. Sizes are numbers. */
export function mapsOf(axis: Axis): { readonly part: Axis; readonly map: IndexMap }[] {
  const found: { part: Axis; map: IndexMap }[] = [];
  const visit = (each: Axis, map: IndexMap): void => {
    const root = resolve(each);
    if (root.structure === undefined) {
      found.push({ part: root, map });
      return;
    }
    const { kind, parts } = root.structure;
    const sizes = parts.map((part) => Number(part.size));
    let before = kind === 'product' ? 1 : 0;
    let inner = sizes.reduce((product, size) => product * size, 1);
    for (const [index, part] of parts.entries()) {
      const size = sizes[index]!;
      if (kind === 'concatenation') {
        visit(part, { ...map, offset: map.offset + before * map.length });
        before += size;
        continue;
      }
      inner /= size;
      const repeats = before === 1 ? map.repeats : [...map.repeats, { count: before, stride: size * inner * map.length }];
      visit(part, { offset: map.offset, length: inner * map.length, repeats });
      before *= size;
    }
  };
  visit(axis, { offset: 0, length: 1, repeats: [] });
  return found;
}

/** Adds the indices of one unit to a list. */
export function addRuns({ offset, length, repeats }: IndexMap, unit: number, runs: IndexRun[]): void {
  const first = offset + unit * length;
  if (repeats.length === 0) {
    runs.push({ start: first, length });
    return;
  }
  let starts = [first];
  for (const { count, stride } of repeats) starts = starts.flatMap((start) => Array.from({ length: count }, (_, step) => start + step * stride));
  for (const start of starts) runs.push({ start, length });
}

/** The unit that an index belongs to, or undefined when the map does not reach it. */
export function unitAt({ offset, length, repeats }: IndexMap, size: number, index: number): number | undefined {
  let rest = index - offset;
  for (const { count, stride } of repeats) {
    if (rest < 0 || rest >= count * stride) return undefined;
    rest %= stride;
  }
  const unit = Math.floor(rest / length);
  return rest >= 0 && unit < size ? unit : undefined;
}

/** Runs in ascending order, overlapping and touching ones joined. */
export function joinRuns(runs: readonly IndexRun[]): IndexRun[] {
  const result: { start: number; length: number }[] = [];
  for (const { start, length } of [...runs].sort((a, b) => a.start - b.start)) {
    const last = result.at(-1);
    if (last !== undefined && start <= last.start + last.length) last.length = Math.max(last.length, start + length - last.start);
    else result.push({ start, length });
  }
  return result;
}

/** Number of indices in joined runs. */
export function runLength(runs: readonly IndexRun[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0);
}
