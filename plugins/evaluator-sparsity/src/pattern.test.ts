import { describe, expect, it } from 'vitest';
import { sparsityOptions } from './options.js';
import { holdsPattern, parsePattern } from './pattern.js';
import { countZeros } from './zeros.js';

const holds = (values: number[], columns: number, pattern: string): boolean => holdsPattern(Float32Array.from(values), columns, parsePattern(pattern)!);

describe('holdsPattern', () => {
  it('counts what is kept in every group of every row', () => {
    expect(holds([1, 0, 0, 2, 0, 3, 4, 0], 8, '2:4')).toBe(true);
    expect(holds([1, 0, 0, 2, 0, 3, 4, 5], 8, '2:4')).toBe(false);
    // Three and one of four: the eight keep the pattern, the first four do not.
    expect(holds([1, 2, 3, 0, 0, 0, 0, 4], 8, '4:8')).toBe(true);
    expect(holds([1, 2, 3, 0, 0, 0, 0, 4], 8, '2:4')).toBe(false);
    expect(holds([1, 0, 0, 0, 0, 0, 2, 0], 4, '1:4')).toBe(true);
    expect(holds([1, 0, 0, 2, 0, 0, 2, 0], 4, '1:4')).toBe(false);
  });

  it('needs fewer zeros than there may be, not exactly as many', () => {
    expect(holds([0, 0, 0, 0], 4, '2:4')).toBe(true);
    expect(holds([0, -0, 0, 7], 4, '2:4')).toBe(true);
  });

  it('does not let groups run over the end of a row', () => {
    expect(holds([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6, '2:4')).toBe(false);
  });
});

describe('patterns', () => {
  it('are two numbers of which the first is smaller', () => {
    expect(parsePattern('16:32')).toEqual({ kept: 16, group: 32 });
    for (const text of ['4:2', '4:4', '0:4', '2', '2:4:8', ' 2:4', '2:x', '']) expect(parsePattern(text)).toBeUndefined();
    expect(sparsityOptions.safeParse({ patterns: ['4:2'] }).success).toBe(false);
    expect(sparsityOptions.parse({})).toEqual({ patterns: ['2:4', '4:8', '1:4'] });
  });
});

describe('countZeros', () => {
  it('knows both zeros of every type, and no others', () => {
    expect(countZeros({ dtype: 'float32', data: Float32Array.of(0, -0, 1e-45, Number.NaN) })).toBe(2);
    expect(countZeros({ dtype: 'bfloat16', data: Uint16Array.of(0, 0x8000, 1, 0x8001) })).toBe(2);
    expect(countZeros({ dtype: 'float16', data: Uint16Array.of(0x8000, 0x3c00) })).toBe(1);
    expect(countZeros({ dtype: 'int64', data: BigInt64Array.of(0n, 1n) })).toBe(1);
  });
});
