/** Perplexity of a text and what it was computed from. */
export interface PerplexityResult {
  /** exp of the mean negative log-likelihood. */
  readonly perplexity: number;
  /** Mean negative log-likelihood of a predicted token, in nats. */
  readonly meanNegativeLogLikelihood: number;
  readonly windows: number;
  /** Tokens whose likelihood counts. */
  readonly predictedTokens: number;
}

/**
 * Perplexity from the negative log-likelihoods of the scored tokens (in nats, one array a window). By window, as GPTQ and its successors report it:
 *
 *     PPL = exp( 1/W · Σ_w 1/T_w · Σ_t −log p(token_t | tokens before it in the window) )
 *
 * or by token: PPL = exp( Σ_w Σ_t −log p / Σ_w T_w ). Both are the same where all windows score equally many tokens.
 */
export function perplexityOf(windows: readonly Float64Array[], weighting: 'window' | 'token' = 'window'): PerplexityResult {
  let sumOfMeans = 0;
  let total = 0;
  let predictedTokens = 0;
  for (const window of windows) {
    let sum = 0;
    for (const value of window) sum += value;
    sumOfMeans += sum / window.length;
    total += sum;
    predictedTokens += window.length;
  }
  const meanNegativeLogLikelihood = weighting === 'token' ? total / predictedTokens : sumOfMeans / windows.length;
  return { perplexity: Math.exp(meanNegativeLogLikelihood), meanNegativeLogLikelihood, windows: windows.length, predictedTokens };
}
