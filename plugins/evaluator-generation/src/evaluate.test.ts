import { type Tokenizer } from '@pare/core';
import { greedyGenerate } from '@pare/model';
import { evaluationParts, leakCheckedBackend, memoryText, openFixture, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { generation } from './index.js';
import { generationOptions } from './options.js';

/** Ids written out in decimal. */
const numbers: Tokenizer = {
  vocabularySize: 160,
  bosToken: 1,
  eosToken: 2,
  encode: (text) => Int32Array.from(text.split(' ').filter(Boolean), Number),
  decode: (ids) => [...ids].join(' '),
};

interface ItemDetails {
  readonly line: number;
  readonly text: string;
  readonly answer: string | null;
  readonly right: boolean;
  readonly rougeL: number;
  readonly tokens: number;
}

async function evaluate(items: readonly object[], options: object = {}, seed = 0) {
  const warnings: string[] = [];
  await using model = await openFixture('llama');
  await using backend = await leakCheckedBackend();
  const { metrics, details } = await generation.evaluate({
    log: { debug: () => undefined, info: () => undefined, warn: (message) => void warnings.push(String(message)), error: () => undefined },
    signal: new AbortController().signal,
    seed,
    progress: { report: () => undefined },
    ...evaluationParts(backend, model),
    services: {},
    options: generationOptions.parse({ maxNewTokens: 5, ...options }),
    data: memoryText(items.map((item) => JSON.stringify(item)).join('\n'), 'items'),
    tokenizer: () => Promise.resolve(numbers),
  });
  return { metrics, details: details!, items: details!['items'] as ItemDetails[], warnings };
}

/** What the model writes behind a prompt, computed without a cache. */
async function continuation(prompt: string, count = 5): Promise<number[]> {
  await using model = await openFixture('llama');
  await using backend = await leakCheckedBackend();
  const ids = numbers.encode(prompt);
  return [...(await greedyGenerate(model, backend, ids, count)).subarray(ids.length)];
}

describe('generation', () => {
  it('holds greedy texts against references', async () => {
    const [first, second] = [await continuation('5 17 42'), await continuation('9 8 7 6')];
    const { metrics, items, details } = await evaluate([
      { query: '5 17 42', answer: String(first.at(-1)) },
      { query: '9 8 7 6', references: [second.join(' '), 'x'] },
      { query: '9 8 7 6', answer: 'nothing of the kind' },
    ]);
    expect(items.map(({ text }) => text)).toEqual([first, second, second].map((ids) => ids.join(' ')));
    expect(items.map(({ right }) => right)).toEqual([true, true, false]);
    // One word of the five, all five, none.
    expect(items.map((item) => item.rougeL)).toEqual([2 / 6, 1, 0]);
    expect(metrics['exactMatch']).toBeCloseTo(2 / 3, 12);
    expect(metrics['exactMatchStandardError']).toBeCloseTo(Math.sqrt(2 / 9 / 2), 12);
    expect(metrics['rougeL']).toBeCloseTo((2 / 6 + 1) / 3, 12);
    expect(details).toMatchObject({ file: 'items', count: 3, truncated: 0, newTokens: 15 });
  });

  it('ends texts at stop texts', async () => {
    const ids = await continuation('5 17 42');
    const { items } = await evaluate([{ query: '5 17 42', answer: '1' }], { stop: [` ${String(ids[2])}`] });
    expect(items[0]).toMatchObject({ text: ids.slice(0, ids.indexOf(ids[2]!)).join(' ') });
    expect(items[0]!.tokens).toBeLessThan(5);
  });

  it('draws the same for the same seed, whatever the batches', async () => {
    const items = ['5 17 42', '9', '8 7'].map((query) => ({ query, answer: '1' }));
    const texts = async (options: object, seed: number): Promise<string[]> => (await evaluate(items, { temperature: 1, ...options }, seed)).items.map(({ text }) => text);
    const drawn = await texts({}, 4);
    expect(await texts({ batchSize: 1 }, 4)).toEqual(drawn);
    expect(await texts({}, 5)).not.toEqual(drawn);
    expect(await texts({ topK: 1 }, 5)).toEqual((await evaluate(items)).items.map(({ text }) => text));
  });

  it('keeps the end of prompts that leave no room', async () => {
    const long = Array.from({ length: 140 }, (_, index) => String(index)).join(' ');
    const { items, warnings, details } = await evaluate([{ query: long, answer: '1' }]);
    const ids = await continuation(Array.from({ length: 124 }, (_, index) => String(index + 16)).join(' '));
    // The fifth token ends the text (id 2) and is not part of it.
    expect(items[0]).toMatchObject({ text: ids.slice(0, 4).join(' '), tokens: 5 });
    expect(ids[4]).toBe(2);
    expect(details).toMatchObject({ truncated: 1 });
    expect(warnings).toHaveLength(1);
    await expect(evaluate([{ query: '1', answer: '1' }], { maxNewTokens: 129 })).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG' });
  });

  it('runs in a host', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [generation] });
    const items = memoryText(JSON.stringify({ question: 'is it', answer: 'the' }));
    const { metrics } = await host.evaluate({ model: tiny.model, evaluators: [{ id: 'generation', options: { maxNewTokens: 3 } }], items, backend: 'reference' });
    expect([0, 1]).toContain(metrics['exactMatch']);
    expect(metrics['rougeL']).toBeGreaterThanOrEqual(0);
  });
});
