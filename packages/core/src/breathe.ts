import { throwIfAborted } from './errors.js';

/** How long work may hold its thread, and when it last gave way, in milliseconds: one time for all, since steps that are short each hold the thread together. */
const turn = 50;
let last = 0;

/**
 * Lets long work give way: await it between steps of a loop. Nobody can cancel a loop that never does, since the signal fires on the thread that the loop holds. Where the thread was
 * held for 50 ms, it waits for the host's event loop to go round once and looks at the signal again; before that it costs next to nothing, and in hot loops `undefined` saves the await.
 * @param what named when the signal fires: `rounding`
 * @throws PARE_ABORTED
 */
export function breathe(signal: AbortSignal | undefined, what: string): Promise<void> | undefined {
  throwIfAborted(signal, what);
  if (performance.now() - last < turn) return undefined;
  return new Promise<void>((resolve) => setTimeout(resolve, 0)).then(() => {
    last = performance.now();
    throwIfAborted(signal, what);
  });
}
