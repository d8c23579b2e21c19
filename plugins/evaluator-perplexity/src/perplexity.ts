/** Perplexity of a text and what it was computed from. */
export interface PerplexityResult {
  /** exp of the mean over windows of each window's mean negative log-likelihood. */
  readonly perplexity: number;
  /** Mean negative log-likelihood of a predicted token, in nats. */
  readonly meanNegativeLogLikelihood: number;
  readonly windows: number;
  /** Tokens that were predicted: all but the first of each window. */
  readonly predictedTokens: number;
}

/**
 * Perplexity from per-token negative log-likelihoods (in nats, one array a window), as GPTQ and its successors report it:
 *
 *     PPL = exp( 1/W · Σ_w 1/(L−1) · Σ_t −log p(token_t | token_1 … token_{t−1}) ),   t = 2 … L
 *
 * Windows of equal length weigh the same, so the mean of means is the mean over tokens.
 */
export function perplexityOf(windows: readonly Float64Array[]): PerplexityResult {
  let sumOfMeans = 0;
  let predictedTokens = 0;
  for (const window of windows) {
    let sum = 0;
    for (const value of window) sum += value;
    sumOfMeans += sum / window.length;
    predictedTokens += window.length;
  }
  const meanNegativeLogLikelihood = sumOfMeans / windows.length;
  return { perplexity: Math.exp(meanNegativeLogLikelihood), meanNegativeLogLikelihood, windows: windows.length, predictedTokens };
}
