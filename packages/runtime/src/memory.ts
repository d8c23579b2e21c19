import type { MemorySample } from '@pare/core';

/** Memory of this process now and at most so far. */
export function sampleMemory(): MemorySample {
  // maxRSS is in kibibytes on every system; it can lag behind what the process reports now.
  const residentBytes = process.memoryUsage.rss();
  return { residentBytes, peakResidentBytes: Math.max(residentBytes, process.resourceUsage().maxRSS * 1024) };
}

/** Calls `report` with a sample at every interval until disposed, and once at the end. Does not keep the process alive. */
export function watchMemory(seconds: number, report: (sample: MemorySample) => void): Disposable {
  if (seconds <= 0) return { [Symbol.dispose]: () => undefined };
  const timer = setInterval(() => {
    report(sampleMemory());
  }, seconds * 1000);
  timer.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      report(sampleMemory());
    },
  };
}
