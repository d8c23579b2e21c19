import { describe, expect, it } from 'vitest';
import { cutWindows, spannedTokens } from './windows.js';

const text = Int32Array.from({ length: 11 }, (_, index) => 10 + index);
const cut = (rule: Parameters<typeof cutWindows>[1]): [number[], number][] => cutWindows(text, rule).map(({ tokens, scored }) => [[...tokens], scored]);

describe('cutWindows', () => {
  it('cuts windows that do not overlap, all but the first token of each scored', () => {
    expect(cut({ length: 4 })).toEqual([
      [[10, 11, 12, 13], 3],
      [[14, 15, 16, 17], 3],
    ]);
    expect(cut({ length: 4, samples: 1 })).toEqual([[[10, 11, 12, 13], 3]]);
  });

  it('takes the rest when asked, unless nothing in it can be predicted', () => {
    expect(cut({ length: 4, rest: true }).at(-1)).toEqual([[18, 19, 20], 2]);
    expect(cut({ length: 10, rest: true })).toHaveLength(1);
  });

  it('scores each token once when windows overlap', () => {
    const windows = cut({ length: 4, stride: 2, rest: true });
    expect(windows.map(([tokens, scored]) => tokens.slice(-scored)).flat()).toEqual([...text].slice(1));
    expect(windows[1]).toEqual([[12, 13, 14, 15], 2]);
  });

  it('lets a beginning-of-sequence token take a place, and scores the first token of the text too', () => {
    const windows = cut({ length: 4, bos: 1, rest: true });
    expect(windows[0]).toEqual([[1, 10, 11, 12], 3]);
    expect(windows.map(([tokens, scored]) => tokens.slice(-scored)).flat()).toEqual([...text]);
  });

  it.each([
    [{ length: 4, samples: 2 }, 8],
    [{ length: 4, stride: 2, samples: 3 }, 8],
    [{ length: 4, bos: 1, samples: 2 }, 6],
  ])('knows how far %o reach', (rule, tokens) => {
    expect(spannedTokens(rule)).toBe(tokens);
    expect(cutWindows(text.slice(0, tokens), rule)).toHaveLength(rule.samples);
    expect(cutWindows(text.slice(0, tokens - 1), rule)).toHaveLength(rule.samples - 1);
  });
});
