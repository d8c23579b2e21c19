/** A mean over n values and its standard error √(σ² / (n − 1)), with σ² the mean squared deviation. */
export interface Estimate {
  readonly mean: number;
  readonly standardError: number;
}

/** Per-token values of two models' predictions, in the order of the text. */
export interface TokenComparison {
  /** KL(P ‖ Q) in nats. */
  readonly divergence: Float64Array;
  /** −ln P(token), P being the original's. */
  readonly originalLoss: Float64Array;
  /** −ln Q(token). */
  readonly loss: Float64Array;
  /** 1 where the most likely token is the same. */
  readonly sameTop: Uint8Array;
}

/** What llama.cpp's KL divergence statistics report. */
export interface DivergenceStatistics {
  readonly tokens: number;
  readonly divergence: Estimate & Spread;
  /** Share of tokens whose most likely prediction is the same; its error is √(p(1 − p) / (n − 1)). */
  readonly topOneAgreement: Estimate;
  readonly perplexity: {
    readonly original: Estimate;
    readonly model: Estimate;
    /** PPL(Q) / PPL(P) */
    readonly ratio: Estimate;
    /** ln(PPL(Q) / PPL(P)) = mean difference of losses */
    readonly logarithmOfRatio: Estimate;
    /** PPL(Q) − PPL(P) */
    readonly difference: Estimate;
    /** Pearson correlation of the two models' losses; 1 for a model with itself. */
    readonly correlation: number;
  };
  /** Δp = Q(token) − P(token) of the token that comes. */
  readonly probabilityChange: Estimate & Spread & { readonly rootMeanSquare: Estimate };
}

export interface Spread {
  readonly minimum: number;
  readonly median: number;
  readonly maximum: number;
  /** By percentage, `percentiles['99.9']`; between two values, linearly interpolated. */
  readonly percentiles: Readonly<Record<string, number>>;
}

const percentages = [99.9, 99, 95, 90, 75, 25, 10, 5, 1, 0.1];

/**
 * Statistics of a comparison, with errors propagated to first order from the means' errors and covariance, as llama.cpp does:
 *
 *   ln ratio = l̄_Q − l̄_P                 error² = s_Q² + s_P² − 2 s_PQ
 *   ratio = exp(ln ratio)                 error = ratio · error(ln ratio)
 *   difference = PPL_Q − PPL_P            error² = PPL_Q² s_Q² + PPL_P² s_P² − 2 PPL_Q PPL_P s_PQ
 *   rms = √(mean Δp²)                     error = error(mean Δp²) / (2 rms)
 *
 * with s² the squared standard errors of the mean losses and s_PQ their covariance.
 */
export function divergenceStatistics({ divergence, originalLoss, loss, sameTop }: TokenComparison): DivergenceStatistics {
  const tokens = divergence.length;
  const p = estimate(originalLoss);
  const q = estimate(loss);
  const covariance = covarianceOfMeans(originalLoss, p.mean, loss, q.mean);
  const [perplexityP, perplexityQ] = [Math.exp(p.mean), Math.exp(q.mean)];
  const error = (scaleQ: number, scaleP: number): number => {
    const squared = (scaleQ * q.standardError) ** 2 + (scaleP * p.standardError) ** 2 - 2 * scaleQ * scaleP * covariance;
    return Math.sqrt(Math.max(0, squared));
  };
  const logarithmOfRatio = { mean: q.mean - p.mean, standardError: error(1, 1) };
  const ratio = Math.exp(logarithmOfRatio.mean);
  const change = Float64Array.from(loss, (value, token) => Math.exp(-value) - Math.exp(-originalLoss[token]!));
  const square = estimate(change.map((value) => value * value));
  const rootMeanSquare = Math.sqrt(square.mean);
  const agreement = sameTop.reduce((sum, value) => sum + value, 0) / tokens;
  return {
    tokens,
    divergence: { ...estimate(divergence), ...spread(divergence) },
    topOneAgreement: { mean: agreement, standardError: tokens > 1 ? Math.sqrt((agreement * (1 - agreement)) / (tokens - 1)) : 0 },
    perplexity: {
      original: { mean: perplexityP, standardError: perplexityP * p.standardError },
      model: { mean: perplexityQ, standardError: perplexityQ * q.standardError },
      ratio: { mean: ratio, standardError: ratio * logarithmOfRatio.standardError },
      logarithmOfRatio,
      difference: { mean: perplexityQ - perplexityP, standardError: error(perplexityQ, perplexityP) },
      correlation: p.standardError * q.standardError === 0 ? 1 : covariance / (p.standardError * q.standardError),
    },
    probabilityChange: {
      ...estimate(change),
      ...spread(change),
      rootMeanSquare: { mean: rootMeanSquare, standardError: rootMeanSquare === 0 ? 0 : square.standardError / (2 * rootMeanSquare) },
    },
  };
}

export function estimate(values: Float64Array): Estimate {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, standardError: Math.sqrt(covarianceOfMeans(values, mean, values, mean)) };
}

/** Covariance of two means over the same tokens: Σ (a − ā)(b − b̄) / (n (n − 1)). */
function covarianceOfMeans(a: Float64Array, meanA: number, b: Float64Array, meanB: number): number {
  const count = a.length;
  return count < 2 ? 0 : a.reduce((sum, value, index) => sum + (value - meanA) * (b[index]! - meanB), 0) / count / (count - 1);
}

export function spread(values: Float64Array): Spread {
  const sorted = values.slice().sort();
  return {
    minimum: sorted[0]!,
    median: percentile(sorted, 50),
    maximum: sorted.at(-1)!,
    percentiles: Object.fromEntries(percentages.map((percentage) => [String(percentage), percentile(sorted, percentage)])),
  };
}

/** A percentile of ascending values: position percentage/100 · (n − 1), between two values on the line that joins them. */
export function percentile(sorted: Float64Array, percentage: number): number {
  const position = (percentage / 100) * (sorted.length - 1);
  const below = Math.floor(position);
  const share = position - below;
  return (1 - share) * sorted[below]! + share * sorted[Math.min(below + 1, sorted.length - 1)]!;
}
