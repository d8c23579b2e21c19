import type { PromptSamples } from './protocol.js';

/** Middle and spread of samples. */
export interface Spread {
  readonly p50: number;
  readonly p95: number;
  /** First and third quartile. */
  readonly p25: number;
  readonly p75: number;
}

/** What one prompt length gave. */
export interface PromptLatency {
  readonly promptLength: number;
  readonly runs: number;
  /** Median over runs of batch · promptLength / time of the prompt. */
  readonly prefillTokensPerSecond: number;
  /** Median over runs of batch · newTokens / time of the new tokens. */
  readonly decodeTokensPerSecond: number;
  readonly timeToFirstTokenMilliseconds: Spread;
  /** Over all new tokens of all runs. */
  readonly timePerTokenMilliseconds: Spread;
}

/**
 * Quantile of samples, linear between neighbours (Hyndman & Fan 1996, definition 7, numpy's default): with the samples in order and h = (n − 1)·p,
 * x[⌊h⌋] + (h − ⌊h⌋)·(x[⌊h⌋ + 1] − x[⌊h⌋]).
 */
export function quantile(samples: readonly number[], p: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const place = (sorted.length - 1) * p;
  const below = Math.floor(place);
  const low = sorted[below] ?? Number.NaN;
  return low + (place - below) * ((sorted[below + 1] ?? low) - low);
}

function spread(samples: readonly number[]): Spread {
  return { p50: quantile(samples, 0.5), p95: quantile(samples, 0.95), p25: quantile(samples, 0.25), p75: quantile(samples, 0.75) };
}

/** Rates and times of one prompt length. */
export function summarize({ promptLength, prefill, firstToken, steps }: PromptSamples, batch: number): PromptLatency {
  const rate = (tokens: number, milliseconds: number): number => (1000 * batch * tokens) / milliseconds;
  const decode = steps.map((run) =>
    rate(
      run.length,
      run.reduce((sum, time) => sum + time, 0),
    ),
  );
  return {
    promptLength,
    runs: prefill.length,
    prefillTokensPerSecond: quantile(
      prefill.map((time) => rate(promptLength, time)),
      0.5,
    ),
    decodeTokensPerSecond: quantile(decode, 0.5),
    timeToFirstTokenMilliseconds: spread(firstToken),
    timePerTokenMilliseconds: spread(steps.flat()),
  };
}
