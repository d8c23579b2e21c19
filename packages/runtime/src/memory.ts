import type { MemorySample } from '@pare/core';
import { sampleMemory } from '@pare/platform';

/** Calls `report` with a sample at every interval until disposed, and once at the end; never where memory is not told. Does not keep the process alive. */
export function watchMemory(seconds: number, report: (sample: MemorySample) => void): Disposable {
  const tell = (): void => {
    const sample = sampleMemory();
    if (sample !== undefined) report(sample);
  };
  if (seconds <= 0) return { [Symbol.dispose]: () => undefined };
  const timer: unknown = setInterval(tell, seconds * 1000);
  // Browsers give a number.
  if (typeof timer === 'object') (timer as NodeJS.Timeout).unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer as NodeJS.Timeout);
      tell();
    },
  };
}
