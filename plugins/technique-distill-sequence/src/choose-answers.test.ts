import { describe, expect, it } from 'vitest';
import { chooseAnswers, type ChoiceOptions } from './choose-answers.js';
import { rougeL } from './rouge-l.js';

describe('rougeL', () => {
  it('is F1 of the longest common subsequence of words', () => {
    expect(rougeL('the cat sat', 'The cat sat')).toBe(1);
    // "the cat mat": 3 of 6 and of 5 words.
    expect(rougeL('the cat sat on the mat', 'the black cat a mat')).toBeCloseTo(6 / 11, 12);
    expect(rougeL('a b', 'c d')).toBe(0);
    expect(rougeL('', 'a')).toBe(0);
    expect(rougeL('', ' ')).toBe(1);
  });
});

describe('chooseAnswers', () => {
  const answer = (text: string, finished = true) => ({ text, finished });
  const asked = [{ prompt: 'p', label: 'the cat sat on the mat', answers: [answer(' a dog'), answer('a dog '), answer(' '), answer('the cat sat on a mat'), answer('the cat sat on the', false)] }];
  const choose = (options: Partial<ChoiceOptions> = {}) => chooseAnswers(asked, { select: 'all', unfinished: 'drop', similarity: 1, ...options });
  const texts = (options?: Partial<ChoiceOptions>): string[] => choose(options).lessons.map(({ response }) => response.trim());

  it('leaves out empty, unfinished and equal answers, with counts', () => {
    expect(texts()).toEqual(['a dog', 'the cat sat on a mat']);
    expect(choose().leftOut).toEqual({ empty: 1, unfinished: 1, repeated: 1, farther: 0 });
  });

  it('keeps unfinished ones without an end where told to, unless they are too similar', () => {
    expect(choose({ unfinished: 'keep' }).lessons.at(-1)).toEqual({ prompt: 'p', response: 'the cat sat on the', finished: false });
    expect(texts({ unfinished: 'keep', similarity: 0.7 })).toEqual(['a dog', 'the cat sat on a mat']);
  });

  it('takes the one that is nearest to the file\'s', () => {
    expect(texts({ select: 'nearest' })).toEqual(['the cat sat on a mat']);
    expect(choose({ select: 'nearest' }).leftOut.farther).toBe(1);
  });
});
