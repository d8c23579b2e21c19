/** Tokens of a portion. Large enough that reading the weights once more for each costs a few per cent, small enough that an interruption loses minutes. */
const portionTokens = 8192;

/** Neighbouring items whose work is one piece of a checkpoint. */
export interface Portion<T> {
  /** Names the piece: `0-15`. */
  readonly name: string;
  readonly items: readonly T[];
  /** Of the first one among all. */
  readonly first: number;
}

/**
 * Cuts work into portions of about 8192 tokens, at least one item each. How it is cut depends on the items alone, never on what was finished before: a portion's
 * results are the same to the bit whenever it is computed.
 */
export function portionsOf<T>(items: readonly T[], tokensOf: (item: T) => number, tokens = portionTokens): Portion<T>[] {
  const portions: Portion<T>[] = [];
  for (let first = 0; first < items.length; ) {
    let end = first;
    for (let sum = 0; end < items.length; end++) {
      sum += tokensOf(items[end]!);
      if (end > first && sum > tokens) break;
    }
    portions.push({ name: `${String(first)}-${String(end - 1)}`, items: items.slice(first, end), first });
    first = end;
  }
  return portions;
}
