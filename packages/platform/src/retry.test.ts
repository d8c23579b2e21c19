import { describe, expect, it } from 'vitest';
import { backoff, pause, retry } from './retry.js';

describe('retry', () => {
  it('tries again until it succeeds or is told to stop', async () => {
    const waits: number[] = [];
    let calls = 0;
    const work = (): Promise<number> => (++calls < 3 ? Promise.reject(new Error(String(calls))) : Promise.resolve(calls));
    const options = { what: 'work', again: (_: unknown, attempt: number) => (attempt < 2 ? attempt + 1 : undefined), wait: (seconds: number) => Promise.resolve(void waits.push(seconds)) };
    expect(await retry(work, options)).toBe(3);
    expect(waits).toEqual([1, 2]);
    calls = -5;
    await expect(retry(work, options)).rejects.toThrow('-2');
  });

  it('ends a pause when it is cancelled', async () => {
    const abort = new AbortController();
    const work = retry(() => Promise.reject(new Error('no')), { what: 'work', again: () => 1000, signal: abort.signal });
    abort.abort();
    await expect(work).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    await pause(1000, abort.signal);
  });

  it('grows pauses up to a limit, half of them by chance', () => {
    const at = (attempt: number, random: number): number => backoff(attempt, { first: 1, most: 10, random: () => random });
    expect([at(0, 0), at(0, 1), at(2, 0), at(9, 1)]).toEqual([0.5, 1, 2, 10]);
  });
});
