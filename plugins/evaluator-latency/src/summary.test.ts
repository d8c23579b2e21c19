import { describe, expect, it } from 'vitest';
import { runSchedule, type Decoder } from './schedule.js';
import { quantile, summarize } from './summary.js';

describe('quantile', () => {
  it('is linear between neighbours', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([10, 20, 30], 0.5)).toBe(20);
    expect(quantile([0, 10], 0.95)).toBeCloseTo(9.5, 12);
    expect(quantile(Array.from({ length: 101 }, (_, index) => index), 0.95)).toBe(95);
    expect(quantile([7], 0.95)).toBe(7);
  });
});

/** A clock that only the decoder moves: 8 ms a prompt, 1 ms a choice, 3 ms a step. */
function fake(): { decoder: Decoder; clock: () => number; calls: string[] } {
  let now = 0;
  const calls: string[] = [];
  const decoder: Decoder = {
    prefill: (length) => {
      calls.push(`prefill ${String(length)}`);
      now += 8;
      return Promise.resolve();
    },
    choose: () => {
      now += 1;
    },
    step: () => {
      calls.push('step');
      now += 3;
      return Promise.resolve();
    },
  };
  return { decoder, clock: () => now, calls };
}

describe('runSchedule', () => {
  const schedule = { promptLengths: [16, 32], newTokens: 2, batch: 3, warmups: 1, runs: 4, maximumSeconds: 60 };

  it('times prompt, first token and steps, and leaves warm-ups out', async () => {
    const { decoder, clock, calls } = fake();
    const progress: number[] = [];
    const samples = await runSchedule(decoder, schedule, clock, (completed, total) => progress.push(completed / total));
    expect(calls.filter((call) => call === 'prefill 16')).toHaveLength(5);
    expect(calls.slice(0, 3)).toEqual(['prefill 16', 'step', 'step']);
    const steps = Array.from({ length: 4 }, () => [4, 4]);
    expect(samples.map(({ promptLength }) => promptLength)).toEqual([16, 32]);
    expect(samples[0]).toEqual({ promptLength: 16, prefill: [8, 8, 8, 8], firstToken: [9, 9, 9, 9], steps });
    expect(progress).toEqual(Array.from({ length: 10 }, (_, index) => (index + 1) / 10));
  });

  it('ends early when time is up, but not before three runs', async () => {
    const { decoder, clock } = fake();
    // A run takes 17 ms.
    const counts = async (maximumSeconds: number, runs: number): Promise<number> =>
      (await runSchedule(decoder, { ...schedule, maximumSeconds, runs }, clock, () => undefined))[0]!.prefill.length;
    expect(await counts(0.001, 10)).toBe(3);
    expect(await counts(0.001, 2)).toBe(2);
    expect(await counts(17 * 5 * 0.001, 10)).toBe(5);
  });

  it('becomes rates over the whole batch', async () => {
    const { decoder, clock } = fake();
    const [samples] = await runSchedule(decoder, schedule, clock, () => undefined);
    expect(summarize(samples!, 3)).toEqual({
      promptLength: 16,
      runs: 4,
      prefillTokensPerSecond: (3 * 16) / 0.008,
      decodeTokensPerSecond: (3 * 2) / 0.008,
      timeToFirstTokenMilliseconds: { p50: 9, p95: 9, p25: 9, p75: 9 },
      timePerTokenMilliseconds: { p50: 4, p95: 4, p25: 4, p75: 4 },
    });
  });
});
