import { throwIfAborted } from '@pare/core';

/** How long work may hold the thread, in milliseconds. */
const turn = 50;

/** When the thread was last given way by this work, in milliseconds: one for all, since steps that are short each hold the thread together. */
let last = 0;

/**
 * Lets long work on the calling thread give way: call it between steps, and await what it returns when that is something.
 * @param what named when the signal fires
 * @throws PARE_ABORTED
 */
export function createPacer(signal: AbortSignal | undefined, what: string): () => Promise<void> | undefined {
  throwIfAborted(signal, what);
  return () => {
    if (performance.now() - last < turn) return undefined;
    return new Promise<void>((resolve) => setTimeout(resolve, 0)).then(() => {
      throwIfAborted(signal, what);
      last = performance.now();
    });
  };
}
