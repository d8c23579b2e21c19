import { pause } from '@pare/platform';

/** Time as requests are paced by it. Tests bring one of their own. */
export interface Clock {
  /** Seconds since some moment. */
  now(): number;
  /** Waits, or until the signal fires. */
  wait(seconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = { now: () => performance.now() / 1000, wait: pause };
