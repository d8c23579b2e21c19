import type { CompetingWeights } from '@pare/pruning';
import type { TargetModule } from '@pare/core';
import type { MagnitudeOptions } from './options.js';

/** What competes in a matrix and how many of it go: round(sparsity · count) each time. */
export function competingUnits({ info: { shape }, options: { sparsity, ranking, unit } }: TargetModule<MagnitudeOptions>): CompetingWeights {
  const [rows, columns] = shape;
  const of = (name: string, count: number): CompetingWeights => ({ name, count, pruned: Math.round(sparsity * count) });
  if (unit === 'row') return of('the outputs', rows);
  if (unit === 'column') return of('the inputs', columns);
  return ranking === 'row' ? of('the inputs of an output', columns) : of('the weights', rows * columns);
}

/** Weights of a matrix that are pruned; for the global ranking, if every matrix gave the same share. */
export function prunedWeights(target: TargetModule<MagnitudeOptions>): number {
  const [rows, columns] = target.info.shape;
  const { pruned } = competingUnits(target);
  const { ranking, unit } = target.options;
  if (unit === 'row') return pruned * columns;
  if (unit === 'column' || ranking === 'row') return pruned * rows;
  return pruned;
}
