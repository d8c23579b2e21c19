import { createRandom } from '@pare/core';

export interface OrderOptions {
  /** Number of items. */
  readonly count: number;
  /** `curriculum` goes from easy to hard the first time and is shuffled afterwards (Bengio et al., 2009). */
  readonly order: 'given' | 'shuffled' | 'curriculum';
  readonly seed: number;
  /** Difficulty of each item, for a curriculum. */
  readonly difficulty?: ArrayLike<number> | undefined;
}

/**
 * Which item stands at each place of an endless row: one pass over all items after another. What stands where depends on the place alone, so that the number of finished steps
 * is all that a run needs to go on where it stopped.
 */
export class TrainingOrder {
  readonly #options: OrderOptions;
  #epoch = -1;
  #items: readonly number[] = [];

  constructor(options: OrderOptions) {
    const { count, order, difficulty } = options;
    if (!Number.isInteger(count) || count < 1) throw new RangeError(`${String(count)} items to train on; at least one is needed`);
    if (order === 'curriculum' && difficulty?.length !== count) throw new RangeError(`a curriculum of ${String(count)} items needs the difficulty of each`);
    this.#options = options;
  }

  /** Items at places `start` … `start + count − 1`. */
  slice(start: number, count: number): number[] {
    return Array.from({ length: count }, (_, index) => this.#at(start + index));
  }

  #at(place: number): number {
    const epoch = Math.floor(place / this.#options.count);
    if (epoch !== this.#epoch) {
      this.#items = orderOf(this.#options, epoch);
      this.#epoch = epoch;
    }
    return this.#items[place % this.#options.count]!;
  }
}

function orderOf({ count, order, seed, difficulty }: OrderOptions, epoch: number): number[] {
  const items = Array.from({ length: count }, (_, index) => index);
  if (order === 'given') return items;
  if (order === 'curriculum' && epoch === 0) return items.sort((left, right) => difficulty![left]! - difficulty![right]! || left - right);
  // Fisher and Yates; a generator of its own for each pass, so that no state has to be kept.
  const random = createRandom(seed * 1_000_003 + epoch);
  for (let index = count - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    [items[index], items[other]] = [items[other]!, items[index]!];
  }
  return items;
}
