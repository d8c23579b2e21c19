export interface ReturnOptions {
  /**
   * Which rewards a token's return is made of: `following`, those of the tokens behind it, for a loss whose single-step part holds the token's own (MiniLLM, arXiv 2306.08543, §2.2, eq. 5);
   * `inclusive` counts the token's own too, as the released implementation does.
   */
  readonly of: 'following' | 'inclusive';
  /** Returns are means over the tokens that they are made of, and not sums, so that long texts are not shunned (eq. 6). */
  readonly lengthNormalization: boolean;
  /** γ: the reward k tokens on counts γᵏ. */
  readonly discount: number;
}

/** The return of each token of a text: R_t = Σ γᵏ r_{s+k} from s = t + 1 (`following`) or s = t (`inclusive`) on, over the number of terms with `lengthNormalization`; 0 where there are none. */
export function textReturns(rewards: Float64Array, { of, lengthNormalization, discount }: ReturnOptions): Float64Array {
  const sums = new Float64Array(rewards.length + 1);
  for (let token = rewards.length - 1; token >= 0; token--) sums[token] = rewards[token]! + discount * sums[token + 1]!;
  return Float64Array.from(rewards, (_, token) => {
    const first = of === 'following' ? token + 1 : token;
    return sums[first]! / (lengthNormalization ? Math.max(1, rewards.length - first) : 1);
  });
}

/** Numbers of several texts moved and scaled together to mean 0 and variance 1, (x − μ) / √(σ² + 10⁻⁸). */
export function whiten(values: readonly Float64Array[]): Float64Array[] {
  const all = values.flatMap((one) => [...one]);
  const mean = all.reduce((sum, value) => sum + value, 0) / Math.max(1, all.length);
  const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, all.length);
  return values.map((one) => one.map((value) => (value - mean) / Math.sqrt(variance + 1e-8)));
}
