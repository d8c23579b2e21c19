import { pareError } from '@pare/core';
import type { AxisMember, Unit } from '@pare/dependency-groups';
import type { LlmPrunerOptions } from './options.js';

/** What an importance is made of, element by element of a tensor: `vector` adds signed numbers and takes the absolute value of each vector's sum. */
export type Contribution = (index: number) => number;

/** Scores along axes of tensors: for each index, what its vector of weights is worth. */
export class AxisScores {
  readonly #scores = new Map<string, Map<number, Float64Array>>();

  /** Axes that scores are wanted of. */
  constructor(units: readonly Unit[]) {
    for (const axis of new Set(units.map((unit) => unit.axis))) {
      for (const member of axis.members) {
        const axes = this.#scores.get(member.tensor) ?? new Map<number, Float64Array>();
        axes.set(member.axis, new Float64Array(0));
        this.#scores.set(member.tensor, axes);
      }
    }
  }

  get tensors(): ReadonlySet<string> {
    return new Set(this.#scores.keys());
  }

  /**
   * Adds what the elements of a tensor are worth to the scores of its indices.
   * @param vectors true to add up signed contributions of each vector and count the absolute value of the sum
   * @throws PARE_STATISTIC_NOT_FINITE
   */
  add(tensor: string, shape: readonly number[], contribution: Contribution, vectors: boolean): void {
    const columns = shape.length === 1 ? 1 : shape[1]!;
    for (const [axis, known] of this.#scores.get(tensor) ?? []) {
      const sums = new Float64Array(shape[axis]!);
      const count = shape.reduce((product, size) => product * size, 1);
      for (let row = 0, index = 0; index < count; row++) {
        for (let column = 0; column < columns; column++, index++) {
          const value = contribution(index);
          sums[axis === 0 ? row : column]! += vectors ? value : Math.abs(value);
        }
      }
      const place = sums.findIndex((value) => !Number.isFinite(value));
      if (place >= 0) throw pareError('PARE_STATISTIC_NOT_FINITE', { statistic: `importance of ${tensor}`, row: axis === 0 ? place : 0, column: axis === 0 ? 0 : place, value: String(sums[place]) });
      // A tensor comes again with each sample.
      for (const [index, sum] of sums.entries()) sums[index] = (known[index] ?? 0) + (vectors ? Math.abs(sum) : sum);
      this.#scores.get(tensor)!.set(axis, sums);
    }
  }

  /** The score of a unit: those of its members, each the sum over the member's rows (a head has many), reduced to one. */
  unit({ axis, index }: Unit, reduction: LlmPrunerOptions['reduction']): number {
    return reduce(axis.members.map((member) => this.#member(member, index)), reduction);
  }

  #member({ tensor, axis, map: { offset, length, repeats } }: AxisMember, unit: number): number {
    const scores = this.#scores.get(tensor)!.get(axis)!;
    const sum = (start: number, rest: AxisMember['map']['repeats']): number => {
      const [first, ...others] = rest;
      if (first === undefined) {
        let total = 0;
        for (let index = start; index < start + length; index++) total += scores[index]!;
        return total;
      }
      let total = 0;
      for (let step = 0; step < first.count; step++) total += sum(start + step * first.stride, others);
      return total;
    };
    return sum(offset + unit * length, repeats);
  }
}

/** Σ, mean, max or Π over a group's members, or the first or last of them alone (LLM-Pruner, §3.2). */
export function reduce(scores: readonly number[], reduction: LlmPrunerOptions['reduction']): number {
  switch (reduction) {
    case 'sum':
      return scores.reduce((sum, score) => sum + score, 0);
    case 'mean':
      return scores.reduce((sum, score) => sum + score, 0) / scores.length;
    case 'max':
      return Math.max(...scores);
    case 'prod':
      return scores.reduce((product, score) => product * score, 1);
    case 'first':
      return scores[0] ?? 0;
    case 'last':
      return scores.at(-1) ?? 0;
  }
}
