import { memoryText } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { accuracyOf, readItems, scoreItem } from './index.js';
import { multipleChoiceOptions } from './options.js';

const template = multipleChoiceOptions.parse({}).promptTemplate;
const read = (...values: unknown[]) => readItems(memoryText(values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n'), 'items.jsonl'), template, 0);

describe('scoreItem', () => {
  it('prefers a long choice when characters count', () => {
    // ll −4 of 2 characters against −5 of 10: −2 against −0.5 a character.
    expect(scoreItem(['ab', 'abcdefghij'], [-4, -5])).toEqual({ logProbabilities: [-4, -5], chosen: 0, chosenNormalized: 1 });
  });

  it('takes the first of equals', () => {
    expect(scoreItem(['ab', 'cd', 'ef'], [-3, -2, -2])).toMatchObject({ chosen: 1, chosenNormalized: 1 });
  });

  it('counts characters, not UTF-16 units', () => {
    // −3/2 against −5/3; by units it would be −3/4 against −5/3 just as by bytes −3/8: equal choices tell them apart.
    expect(scoreItem(['😀😀', 'abc'], [-3, -4])).toMatchObject({ chosenNormalized: 1 });
  });
});

describe('accuracyOf', () => {
  it('has the standard error of a sample mean', () => {
    const right = [true, true, true, false];
    // Sample variance of 1, 1, 1, 0 is 0.25; over n its root.
    expect(accuracyOf(right)).toEqual({ value: 0.75, standardError: Math.sqrt(0.25 / 4) });
    expect(accuracyOf([true])).toEqual({ value: 1, standardError: undefined });
  });
});

describe('readItems', () => {
  it('takes the shapes of common tasks', async () => {
    const items = await read(
      { question: 'Who?', rationale: 'x', answer: 'Ivan', choices: ['Sara', 'Ivan'], label: 1 },
      '',
      { query: 'Q: 2+2?\nA:', choices: ['3', '4'], gold: 1 },
      { ctx: 'He', endings: ['runs.', 'flies.'], label: '0' },
      { question: 'Which?', choices: { text: ['x', 'y', 'z'], label: ['1', '2', '3'] }, answerKey: '3' },
      { question: 'Which?', choices: ['x', 'y', 'z'], answer: 'B' },
      { question: 'How many?', choices: ['1', '0'], answer: '1' },
    );
    expect(items.map(({ line, prompt, label }) => [line, prompt, label])).toEqual([
      [1, 'Question: Who?\nAnswer:', 1],
      [3, 'Q: 2+2?\nA:', 1],
      [4, 'He', 0],
      [5, 'Question: Which?\nAnswer:', 2],
      [6, 'Question: Which?\nAnswer:', 1],
      [7, 'Question: How many?\nAnswer:', 0],
    ]);
  });

  it('fills a template as it stands', async () => {
    const source = memoryText(JSON.stringify({ a: '$&', b: '{a}', choices: ['x', 'y'], gold: 0 }));
    expect((await readItems(source, '{a} {b}', 0))[0]!.prompt).toBe('$& {a}');
  });

  it('reads no further than it needs', async () => {
    const source = memoryText(`${JSON.stringify({ question: 'a', choices: ['x', 'y'], label: 0 })}\nbroken`);
    expect(await readItems(source, template, 1)).toHaveLength(1);
  });

  const good = { question: 'Who?', choices: ['a', 'b'], label: 0 };
  it.each([
    [{ question: 'Who?', choices: ['a', 'b'] }, 'it has no answer ("label", "gold" or "answer")'],
    [{ ...good, label: 2 }, 'its label 2 is not an index of its choices, 0 to 1'],
    [{ ...good, label: -1 }, 'its label -1 is not an index of its choices, 0 to 1'],
    [{ ...good, label: '7' }, 'its label "7" is none of its choices, nor an index 0 to 1'],
    [{ ...good, label: undefined, answer: 'c' }, 'its answer "c" is none of its choices, nor an index 0 to 1'],
    [{ ...good, label: [0] }, 'its label is [0], no index and no text'],
    [{ ...good, choices: [] }, 'it has 0 choices; two are the least'],
    [{ ...good, choices: ['a', ''] }, 'choice 1 is empty'],
    [{ ...good, choices: ['a', 5] }, 'choice 1 is 5, no text'],
    [{ ...good, choices: 'ab' }, 'its choices are no list'],
    [{ question: 'Who?', label: 0 }, 'it has no "choices" or "endings"'],
    [{ ...good, question: 3 }, 'it has no "question" text for the prompt, and no "query", "ctx" or "prompt"'],
    ['[1]', 'it is no JSON object'],
    ['{"question":', expect.stringMatching(/^not JSON \(/)],
  ])('refuses %j with its line', async (value, problem) => {
    await expect(read(good, '', value)).rejects.toMatchObject({ code: 'PARE_ITEM_INVALID', data: { file: 'items.jsonl', line: 3, problem } });
  });

  it('refuses a file without items', async () => {
    await expect(read('', ' ')).rejects.toMatchObject({ code: 'PARE_ITEM_INVALID', data: { problem: 'the file has no items' } });
  });
});
