/** How the next token is chosen. */
export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the likeliest token. */
  readonly temperature: number;
  /** Only this many of the likeliest tokens may be drawn; 0 for all. */
  readonly topK: number;
  /** Only the likeliest tokens that together reach this probability may be drawn (nucleus sampling, Holtzman et al., arXiv 1904.09751, §3.1). */
  readonly topP: number;
}

/**
 * Chooses a token from logits: softmax(logits / temperature) over the `topK` likeliest, cut to the fewest that reach `topP`, drawn with one number from `random`. Of equal logits
 * the lower id comes first.
 */
export function pickToken(logits: Float32Array, { temperature, topK, topP }: SamplingOptions, random: () => number): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  if (temperature === 0) return best;

  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - logits[best]!) / temperature));
  let ids = Array.from(weights.keys());
  const restricted = (topK > 0 && topK < ids.length) || topP < 1;
  if (restricted) ids.sort((left, right) => logits[right]! - logits[left]! || left - right);
  if (topK > 0) ids = ids.slice(0, topK);
  let total = ids.reduce((sum, id) => sum + weights[id]!, 0);
  if (topP < 1) {
    let count = 0;
    let reached = 0;
    while (count < ids.length && (count === 0 || reached < topP * total)) reached += weights[ids[count++]!]!;
    ids = ids.slice(0, count);
    total = reached;
  }
  let left = random() * total;
  for (const id of ids) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  // Rounding may leave a crumb.
  return ids.at(-1)!;
}
