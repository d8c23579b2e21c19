import { describe, expect, it } from 'vitest';
import { TimeLimitError, withTimeLimit } from './time-limit.js';

describe('withTimeLimit', () => {
  it('gives the result of work that ends in time, good or bad', async () => {
    expect(await withTimeLimit(Promise.resolve(1), 10)).toBe(1);
    await expect(withTimeLimit(Promise.reject(new Error('own')), 10)).rejects.toThrow('own');
  });

  it('gives up on work that does not end', async () => {
    await expect(withTimeLimit(new Promise(() => undefined), 0.01)).rejects.toBeInstanceOf(TimeLimitError);
  });
});
