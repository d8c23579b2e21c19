/** Learning rate by step, counted from 0. */
export type Schedule = (step: number) => number;

export interface ScheduleOptions {
  /** The highest rate. */
  readonly rate: number;
  /** How it falls after the warm-up: not at all, in a line, or in half a cosine (Loshchilov & Hutter, arXiv 1608.03983). */
  readonly decay?: 'constant' | 'linear' | 'cosine' | undefined;
  /** Steps over which it rises from 0 in a line. */
  readonly warmup?: number | undefined;
  /** Steps of the whole training. */
  readonly steps: number;
  /** Share of the rate that is left at the end. */
  readonly final?: number | undefined;
}

/** The first step has a rate above 0, the last one the final rate. */
export function schedule({ rate, decay = 'cosine', warmup = 0, steps, final = 0 }: ScheduleOptions): Schedule {
  return (step) => {
    if (step < warmup) return (rate * (step + 1)) / warmup;
    if (decay === 'constant') return rate;
    const done = Math.min(1, (step - warmup) / Math.max(1, steps - 1 - warmup));
    const left = decay === 'linear' ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
    return rate * (final + (1 - final) * left);
  };
}
