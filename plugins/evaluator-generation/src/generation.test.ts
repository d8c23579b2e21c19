import { memoryText } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { extractAnswer, readItems, rougeL, sameAnswer } from './index.js';
import { generationOptions } from './options.js';

const defaults = generationOptions.parse({});

describe('rougeL', () => {
  it('is the F-measure of the longest common subsequence', () => {
    // Lin 2004, §3.1: "police killed the gunman" against "police kill the gunman" 3 of 4 words, "the gunman kill police" 2 of 4.
    expect(rougeL('Police kill the gunman.', 'police killed the gunman')).toBeCloseTo(3 / 4, 12);
    expect(rougeL('the gunman kill police', 'police killed the gunman')).toBeCloseTo(2 / 4, 12);
    // P = 2/2, R = 2/6.
    expect(rougeL('the cat', 'the big cat sat down there')).toBeCloseTo(0.5, 12);
    expect(rougeL('', 'a')).toBe(0);
    expect(rougeL('Çà 12', 'çà, 12!')).toBe(1);
  });
});

describe('extractAnswer', () => {
  it.each([
    ['3 + 4 = 7. Answer: 7', '7', '7'],
    ['Answer: 5. No. Answer: 7 apples', '7', '7'],
    ['So 3 and 4 make 1,200.', '1200', '1,200'],
    ['It is -3.5, not more', '-3.5', '-3.5'],
    [' Ivan\nHe has more.', 'Ivan', 'Ivan'],
    ['The answer is Ivan.', 'Ivan', 'Ivan.'],
    ['no idea', '7', undefined],
  ])('finds in %j the answer to hold against %s', (text, reference, expected) => {
    expect(extractAnswer(text, reference, defaults)).toBe(expected);
  });

  it('looks only where it is told to', () => {
    const text = 'Answer: x 12';
    expect(extractAnswer(text, 'x', { ...defaults, extraction: 'last-number' })).toBe('12');
    expect(extractAnswer('12', 'x', { ...defaults, extraction: 'pattern' })).toBeUndefined();
    expect(extractAnswer(' 12 \n', 'x', { ...defaults, extraction: 'text' })).toBe('12');
    expect(extractAnswer('so <12>', 'x', { ...defaults, extraction: 'pattern', answerPattern: '<(\\d+)>' })).toBe('12');
  });
});

describe('sameAnswer', () => {
  it.each([
    ['1,200.0', '1200', true],
    ['$12.', '12', true],
    ['50%', '50', true],
    ['-3', '3', false],
    [' Ivan.', 'ivan', true],
    ['Ivan Lee', 'Ivan', false],
    ['1.2', '12', false],
  ])('compares %j with %j', (answer, reference, same) => {
    expect(sameAnswer(answer, reference)).toBe(same);
  });
});

describe('options', () => {
  it('refuse patterns without a group', () => {
    for (const answerPattern of ['(', 'answer']) expect(generationOptions.safeParse({ answerPattern }).success).toBe(false);
    expect(generationOptions.safeParse({ answerPattern: 'x(.)' }).success).toBe(true);
  });
});

describe('readItems', () => {
  const read = (...values: unknown[]) => readItems(memoryText(values.map((value) => JSON.stringify(value)).join('\n'), 'items.jsonl'), defaults.promptTemplate, 0);

  it('takes references by their usual names', async () => {
    const items = await read(
      { question: 'a', answer: '5 + 5 = 10\n#### 10' },
      { query: 'b', targets: ['x', 'y'] },
      { question: 'c', answer: 7 },
      { question: 'd', choices: ['p', 'q'], label: 1 },
    );
    expect(items.map(({ prompt, references, answers }) => [prompt, references, answers])).toEqual([
      ['Question: a\nAnswer:', ['5 + 5 = 10\n#### 10'], ['10']],
      ['b', ['x', 'y'], ['x', 'y']],
      ['Question: c\nAnswer:', ['7'], ['7']],
      ['Question: d\nAnswer:', ['q'], ['q']],
    ]);
  });

  it.each([
    [{ question: 'a' }, 'it has no answer ("answer", "target", "reference" or "references")'],
    [{ question: 'a', choices: ['p'], label: 1 }, 'it has no answer ("answer", "target", "reference" or "references")'],
    [{ question: 'a', answer: ' ' }, 'its answer has " ", no text'],
    [{ question: 'a', targets: [] }, 'its targets are empty'],
  ])('refuses %j', async (value, problem) => {
    await expect(read({ question: 'a', answer: 'b' }, value)).rejects.toMatchObject({ code: 'PARE_ITEM_INVALID', data: { file: 'items.jsonl', line: 2, problem } });
  });
});
