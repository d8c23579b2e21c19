import { throwIfAborted } from '@pare/core';

/** How long work may hold the thread, in milliseconds. */
const turn = 50;

/**
 * Lets long work on the calling thread give way: call it between steps, and await what it returns when that is something.
 * @param what named when the signal fires
 * @throws PARE_ABORTED
 */
export function createPacer(signal: AbortSignal | undefined, what: string): () => Promise<void> | undefined {
  let last = performance.now();
  throwIfAborted(signal, what);
  return () => {
    if (performance.now() - last < turn) return undefined;
    return new Promise<void>((resolve) => setTimeout(resolve, 0)).then(() => {
      throwIfAborted(signal, what);
      last = performance.now();
    });
  };
}
