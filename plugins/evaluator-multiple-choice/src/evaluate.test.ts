import type { Model, Tokenizer } from '@pare/core';
import { createBlockRunner, overlayModel } from '@pare/model';
import { evaluationParts, type FixtureName, leakCheckedBackend, memoryText, openFixture, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { multipleChoice } from './index.js';
import { multipleChoiceOptions } from './options.js';

/** Ids written out in decimal. */
const numbers: Tokenizer = {
  vocabularySize: 160,
  bosToken: 1,
  eosToken: 2,
  encode: (text) => Int32Array.from(text.split(' ').filter(Boolean), Number),
  decode: (ids) => [...ids].join(' '),
};

const lines = (items: readonly object[]): string => items.map((item) => JSON.stringify(item)).join('\n');

async function evaluate(name: FixtureName, items: readonly object[], options: object = {}, warnings: string[] = [], change = (model: Model): Model => model) {
  await using fixture = await openFixture(name);
  const model = change(fixture);
  await using backend = await leakCheckedBackend();
  return await multipleChoice.evaluate({
    log: { debug: () => undefined, info: () => undefined, warn: (message) => void warnings.push(String(message)), error: () => undefined },
    signal: new AbortController().signal,
    seed: 0,
    progress: { report: () => undefined },
    ...evaluationParts(backend, model),
    services: {},
    options: multipleChoiceOptions.parse(options),
    data: memoryText(lines(items), 'items'),
    tokenizer: () => Promise.resolve(numbers),
  });
}

/** log softmax of whole logits: each sequence alone, in double precision. */
async function logProbability(name: FixtureName, ids: readonly number[], start: number): Promise<number> {
  await using model = await openFixture(name);
  await using backend = await leakCheckedBackend();
  await using runner = createBlockRunner({ model, backend });
  await using hidden = await runner.embed([Int32Array.from(ids.slice(0, -1))]);
  for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
  const [logits] = await runner.logits(hidden);
  const size = logits!.shape[2]!;
  let sum = 0;
  for (let position = start; position < ids.length; position++) {
    const row = Array.from((logits!.data as Float32Array).subarray((position - 1) * size, position * size));
    const most = Math.max(...row);
    sum += row[ids[position]!]! - most - Math.log(row.reduce((total, value) => total + Math.exp(value - most), 0));
  }
  return sum;
}

describe('multiple-choice', () => {
  it.each(['llama', 'gpt2'] as const)('sums log-probabilities of %s over the tokens of a choice', async (name) => {
    const items = [
      { query: '5 17 42 9', choices: ['3 4', '3 5 6', '88'], gold: 0 },
      // White space at a prompt's end belongs to the choice.
      { query: '70 71 ', choices: ['90 91', '12'], gold: 1 },
    ];
    const { metrics, details } = await evaluate(name, items);
    const scores = details!['items'] as { logProbabilities: number[]; chosen: number; chosenNormalized: number; line: number; label: number }[];
    for (const [index, { query, choices, gold }] of items.entries()) {
      const prompt = numbers.encode(query);
      const expected = await Promise.all(choices.map((choice) => logProbability(name, [...prompt, ...numbers.encode(choice)], prompt.length)));
      const score = scores[index]!;
      expect(score.logProbabilities).toHaveLength(expected.length);
      for (const [choice, value] of expected.entries()) expect(score.logProbabilities[choice]).toBeCloseTo(value, 4);
      expect(score.chosen).toBe(expected.indexOf(Math.max(...expected)));
      const each = expected.map((value, choice) => value / choices[choice]!.length);
      expect(score).toMatchObject({ line: index + 1, label: gold, chosenNormalized: each.indexOf(Math.max(...each)) });
    }
    const share = (key: 'chosen' | 'chosenNormalized'): number => scores.filter((score) => score[key] === score.label).length / 2;
    expect(metrics).toMatchObject({ accuracy: share('chosen'), accuracyNormalized: share('chosenNormalized') });
    expect(details).toMatchObject({ file: 'items', count: 2, choices: 5, truncated: 0 });
  });

  it('cuts long prompts on the left and says so', async () => {
    const long = Array.from({ length: 150 }, (_, index) => String(index)).join(' ');
    const warnings: string[] = [];
    const { details } = await evaluate('gpt2', [{ query: long, choices: ['7 8', '9'], gold: 0 }], {}, warnings);
    const [score] = details!['items'] as { logProbabilities: number[] }[];
    const prompt = numbers.encode(long);
    // 128 positions: the last token of a choice takes none.
    expect(score!.logProbabilities[0]).toBeCloseTo(await logProbability('gpt2', [...prompt.slice(-127), 7, 8], 127), 4);
    expect(details).toMatchObject({ truncated: 2 });
    expect(warnings).toEqual([expect.stringContaining('2 prompts')]);
  });

  it('begins with the beginning-of-text token where asked to, or where the prompt is empty', async () => {
    const first = async (query: string, options: object = {}): Promise<number> =>
      ((await evaluate('llama', [{ query, choices: ['7', '9'], gold: 0 }], options)).details!['items'] as { logProbabilities: number[] }[])[0]!.logProbabilities[0]!;
    expect(await first('5 6', { addBos: true })).toBeCloseTo(await logProbability('llama', [1, 5, 6, 7], 3), 4);
    expect(await first('')).toBeCloseTo(await logProbability('llama', [1, 7], 1), 4);
  });

  it('refuses choices that the model cannot score', async () => {
    const wide = Array.from({ length: 129 }, () => '5').join(' ');
    const problem = (items: readonly object[], options: object = {}) => evaluate('gpt2', items, options).catch((error: unknown) => (error as { data: unknown }).data);
    const good = { query: '1 2', choices: ['3', '4'], gold: 0 };
    expect(await problem([good, { ...good, choices: ['3', wide] }])).toEqual({ file: 'items', line: 2, problem: "choice 1 has 129 tokens, more than the model's 128 positions" });
    expect(await problem([good, { ...good, choices: [' ', '4'] }])).toEqual({ file: 'items', line: 2, problem: 'choice 0 adds no tokens to the prompt' });
  });

  it('names the item for which a model has no finite score', async () => {
    const name = 'model.layers.1.mlp.down_proj';
    const broken = (model: Model): Model => {
      const overflowing = async () => {
        const tensor = await model.denseWeight(name);
        return { form: 'dense' as const, shape: tensor.shape, tensor: { ...tensor, data: tensor.data.map(() => 3e38) } };
      };
      return overlayModel(model, new Map([[name, overflowing]]));
    };
    const item = { query: '1 2', choices: ['3', '4'], gold: 0 };
    await expect(evaluate('llama', [item], {}, [], broken)).rejects.toMatchObject({ code: 'PARE_LIKELIHOOD_NOT_FINITE', data: { file: 'items', line: 1 } });
  });

  it('runs in a host, on the items of a text', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [multipleChoice] });
    const items = memoryText(lines(['he', 'she', 'they'].map((word) => ({ question: `is it ${word}`, choices: ['the', 'of and to'], label: 1 }))));
    const request = { model: tiny.model, evaluators: [{ id: 'multiple-choice', options: { samples: 2 } }], items, backend: 'reference' };
    const { metrics } = await host.evaluate(request);
    expect([0, 0.5, 1]).toContain(metrics['accuracy']);
    await expect(host.evaluate({ ...request, items: undefined })).rejects.toMatchObject({ code: 'PARE_DATA_MISSING' });
  });
});
