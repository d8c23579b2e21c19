import { breathe, throwIfAborted } from '@pare/core';

/**
 * `breathe` for one piece of work: call it between steps, and await what it returns when that is something.
 * @param what named when the signal fires
 * @throws PARE_ABORTED
 */
export function createPacer(signal: AbortSignal | undefined, what: string): () => Promise<void> | undefined {
  throwIfAborted(signal, what);
  return () => breathe(signal, what);
}
