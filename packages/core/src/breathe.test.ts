import { describe, expect, it } from 'vitest';
import { breathe } from './index.js';

/** Holds the thread. */
const work = (milliseconds: number): void => {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
};

describe('breathe', () => {
  it('lets a loop see a signal that fires while it runs', async () => {
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort();
    }, 0);
    let steps = 0;
    const loop = async (): Promise<void> => {
      for (; steps < 100; steps++) {
        work(10);
        await breathe(controller.signal, 'the loop');
      }
    };
    await expect(loop()).rejects.toMatchObject({ code: 'PARE_ABORTED', data: { what: 'the loop' } });
    expect(steps).toBeLessThan(100);
  });

  it('waits for nothing where the thread was just given away, and throws at once for a signal that has fired', async () => {
    work(60);
    await breathe(undefined, 'work');
    expect(breathe(undefined, 'work')).toBeUndefined();
    expect(() => breathe(AbortSignal.abort(), 'work')).toThrow(expect.objectContaining({ code: 'PARE_ABORTED' }));
  });
});
