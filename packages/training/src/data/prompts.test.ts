import { type Tokenizer } from '@pare/core';
import { memoryText } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { pairExamples, readPromptPairs, type PromptOptions } from './prompts.js';

/** Ids written out in decimal; text ends with 2. */
const numbers: Tokenizer = {
  vocabularySize: 160,
  bosToken: 1,
  eosToken: 2,
  encode: (text) => Int32Array.from(text.split(' ').filter(Boolean), Number),
  decode: (ids) => [...ids].join(' '),
};
const options: PromptOptions = { promptTemplate: '{question}', responseTemplate: ' {answer}', positions: 8 };
const read = (items: readonly object[], change: Partial<PromptOptions> = {}, tokenizer = numbers) => readPromptPairs(memoryText(items.map((item) => JSON.stringify(item)).join('\n'), 'items.jsonl'), tokenizer, { ...options, ...change });

describe('readPromptPairs', () => {
  it('makes prompts and responses of common shapes, with an end', async () => {
    const pairs = await read([{ question: '5 6', answer: '7' }, { prompt: '9 ', completion: '10 11' }, { question: '12', response: '13' }]);
    expect(pairs.map(({ line, prompt, response }) => [line, [...prompt], [...response!]])).toEqual([
      [1, [5, 6], [7, 2]],
      [2, [9], [10, 11, 2]],
      [3, [12], [13, 2]],
    ]);
    expect(pairExamples(pairs.slice(0, 1)).map(({ ids, mask }) => [[...ids], [...mask!]])).toEqual([[[5, 6, 7, 2], [0, 0, 1, 1]]]);
  });

  it('does without responses, and without an end, where that is allowed', async () => {
    const [pair] = await read([{ question: '5 6' }], { response: 'optional' });
    expect(pair!.response).toBeUndefined();
    expect(pairExamples([pair!])).toEqual([]);
    const endless: Tokenizer = { ...numbers, eosToken: undefined };
    expect([...(await read([{ question: '5', answer: '6' }], {}, endless))[0]!.response!]).toEqual([6]);
  });

  it('refuses what cannot be learnt, with its line', async () => {
    const good = { question: '5', answer: '6' };
    const problem = (item: object, change: Partial<PromptOptions> = {}) => read([good, item], change).catch((error: unknown) => (error as { data: unknown }).data);
    expect(await problem({ question: '5' })).toMatchObject({ line: 2, problem: 'it has no text for the response " {answer}", and no "response", "completion" or "output"' });
    expect(await problem({ question: '5', answer: ' ' })).toMatchObject({ line: 2, problem: 'its response is empty' });
    expect(await problem({ question: ' ' }, { response: 'optional' })).toMatchObject({ line: 2, problem: 'its prompt is empty' });
    expect(await problem({ question: '1 2 3 4 5 6', answer: '7 8 9' })).toEqual({ file: 'items.jsonl', line: 2, tokens: 6, response: 4, positions: 8 });
    expect(await problem({ question: '1 2 3', answer: '4' }, { maxNewTokens: 7 })).toEqual({ file: 'items.jsonl', line: 2, tokens: 3, response: 7, positions: 8 });
    await expect(read([], {})).rejects.toMatchObject({ code: 'PARE_ITEM_INVALID' });
  });
});
