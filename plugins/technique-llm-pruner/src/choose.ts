import { pareError } from '@pare/core';
import type { Layer } from './layers.js';
import { removedUnits } from './layers.js';

/** Units that go from each layer in the end. @throws PARE_TARGET_REFUSED when a layer would be emptied */
export function finalCounts(layers: readonly Layer[], multipleOf: number): number[] {
  const counts = layers.map((layer) => removedUnits(layer, multipleOf));
  const problems = layers.flatMap(({ module, kind, units, minimum, ratio }, index) =>
    units.length - counts[index]! < minimum
      ? [{ module, reason: `a ratio of ${String(ratio)} takes ${String(counts[index])} of its ${String(units.length)} ${kind}, and ${String(minimum)} must remain; choose a smaller ratio` }]
      : [],
  );
  if (problems.length > 0) throw pareError('PARE_TARGET_REFUSED', { stage: 'llm-pruner', problems });
  return counts;
}

/** Units that are gone after some of the steps: the same number in each, but for rounding. */
export function countsAfter(counts: readonly number[], step: number, steps: number): number[] {
  return counts.map((count) => Math.floor((count * (step + 1)) / steps));
}

/** Indices of the `count` smallest scores; of equal ones the lower index goes. */
export function lowest(scores: ArrayLike<number>, count: number): number[] {
  const order = Array.from({ length: scores.length }, (_, index) => index);
  return order.sort((a, b) => scores[a]! - scores[b]! || a - b).slice(0, count);
}

/** What is ranked in a layer: scores of the units that are left, and how many may go at most. */
export interface Ranked {
  readonly kind: Layer['kind'];
  readonly scores: readonly number[];
  readonly most: number;
}

/**
 * The units with the smallest scores of all layers of a kind together, places by layer. No layer gives more than it may; the next in the ranking goes instead.
 * @param count units that go from all layers of each kind
 */
export function lowestOfAll(layers: readonly Ranked[], count: ReadonlyMap<Layer['kind'], number>): number[][] {
  const chosen: number[][] = layers.map(() => []);
  for (const [kind, wanted] of count) {
    const entries = layers.flatMap(({ kind: own, scores }, layer) => (own === kind ? scores.map((score, index) => ({ layer, index, score })) : []));
    entries.sort((a, b) => a.score - b.score || a.layer - b.layer || a.index - b.index);
    let left = wanted;
    for (const { layer, index } of entries) {
      if (left === 0) break;
      if (chosen[layer]!.length >= layers[layer]!.most) continue;
      chosen[layer]!.push(index);
      left--;
    }
  }
  return chosen;
}
