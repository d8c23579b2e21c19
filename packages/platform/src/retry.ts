import { throwIfAborted } from '@pare/core';

/** Waits so many seconds, or until the signal fires. */
export async function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal?.addEventListener('abort', end);
  });
}

export interface RetryOptions {
  /** For the message of a cancelled run. */
  readonly what: string;
  /** Seconds until the next attempt, or undefined when this failure is final. @param attempt those that failed before, from 0 */
  readonly again: (error: unknown, attempt: number) => number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How to wait; `pause` by default. */
  readonly wait?: typeof pause | undefined;
}

/** Works until it succeeds or fails for good. @throws PARE_ABORTED, and what the last attempt threw */
export async function retry<T>(work: () => Promise<T>, { what, again, signal, wait = pause }: RetryOptions): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      throwIfAborted(signal, what);
      const seconds = again(error, attempt);
      if (seconds === undefined) throw error;
      await wait(seconds, signal);
      throwIfAborted(signal, what);
    }
  }
}

/** Seconds before another attempt: they double from `first` to `most`, and half of them is left to chance, so that those who failed together do not come back together. */
export function backoff(attempt: number, { first, most, random = Math.random }: { readonly first: number; readonly most: number; readonly random?: (() => number) | undefined }): number {
  return Math.min(most, first * 2 ** attempt) * (0.5 + 0.5 * random());
}
