/** How the next token is chosen. */
export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the likeliest token. */
  readonly temperature: number;
  /** Only this many of the likeliest tokens may be drawn; 0 for all. */
  readonly topK: number;
  /** Only the likeliest tokens that together reach this probability may be drawn (nucleus sampling, Holtzman et al., arXiv 1904.09751, §3.1). */
  readonly topP: number;
}

/** Tokens that may be drawn and their weights, which add up to `total`. */
interface Candidates {
  /** By falling logits where `topK` or `topP` restrict them; of equal logits the lower id comes first. */
  readonly ids: readonly number[];
  /** exp of logits / temperature, the largest 1, by id. */
  readonly weights: Float64Array;
  readonly total: number;
}

function candidatesOf(logits: Float32Array, { temperature, topK, topP }: SamplingOptions): Candidates {
  const best = likeliest(logits);
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
  return { ids, weights, total };
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

function draw(ids: readonly number[], weights: Float64Array, total: number, random: () => number): number {
  let left = random() * total;
  for (const id of ids) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  // Rounding may leave a crumb; weights that are no numbers leave all.
  return ids.findLast((id) => weights[id]! > 0) ?? ids.at(-1)!;
}

/**
 * Chooses a token from logits: softmax(logits / temperature) over the `topK` likeliest, cut to the fewest that reach `topP`, drawn with one number from `random`. Of equal logits
 * the lower id comes first.
 */
export function pickToken(logits: Float32Array, options: SamplingOptions, random: () => number): number {
  if (options.temperature === 0) return likeliest(logits);
  const { ids, weights, total } = candidatesOf(logits, options);
  return draw(ids, weights, total, random);
}

/** The probabilities by which `pickToken` chooses, [vocabulary]: 0 for tokens that it never draws. */
export function tokenProbabilities(logits: Float32Array, options: SamplingOptions): Float64Array {
  const probabilities = new Float64Array(logits.length);
  if (options.temperature === 0) {
    probabilities[likeliest(logits)] = 1;
    return probabilities;
  }
  const { ids, weights, total } = candidatesOf(logits, options);
  for (const id of ids) probabilities[id] = weights[id]! / total;
  return probabilities;
}

/** Draws a token with one number from `random`, by probabilities [vocabulary] that add up to 1. */
export function drawToken(probabilities: Float64Array, random: () => number): number {
  return draw([...probabilities.keys()], probabilities, 1, random);
}

/** ln softmax(logits) of one token, in double precision. */
export function logProbability(logits: Float32Array, token: number): number {
  const largest = logits[likeliest(logits)]!;
  return logits[token]! - largest - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}
