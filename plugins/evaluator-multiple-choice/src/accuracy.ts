/** What the model chose for one item. */
export interface ItemScore {
  /** log p of each choice given the prompt, in nats. */
  readonly logProbabilities: readonly number[];
  /** Index of the likeliest choice. */
  readonly chosen: number;
  /** Index of the choice that is likeliest per character. */
  readonly chosenNormalized: number;
}

/** Scores one item. Of equally likely choices the first is chosen. */
export function scoreItem(choices: readonly string[], logProbabilities: readonly number[]): ItemScore {
  // Code points, as Python counts the length of a string.
  const perCharacter = logProbabilities.map((value, index) => value / [...choices[index]!].length);
  return { logProbabilities, chosen: argMax(logProbabilities), chosenNormalized: argMax(perCharacter) };
}

function argMax(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > values[best]! ? index : best), 0);
}

export interface Accuracy {
  /** Share of right choices. */
  readonly value: number;
  /** √(p·(1 − p) / (n − 1)), from the sample variance of right and wrong; undefined for a single item. */
  readonly standardError: number | undefined;
}

export function accuracyOf(right: readonly boolean[]): Accuracy {
  const count = right.length;
  const value = right.filter(Boolean).length / count;
  return { value, standardError: count < 2 ? undefined : Math.sqrt((value * (1 - value)) / (count - 1)) };
}
