import { expectNoLeaks, leakCheckedBackend, modelLogits, openFixture } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { searchBeams, type BeamRequest, type BeamText } from './beam-search.js';
import { generateTokens, TokenGenerator } from './generate-tokens.js';

const prompts = [[5, 17, 42], [9, 3], [70, 71, 72, 73]].map((ids) => Int32Array.from(ids));

async function search(request: Partial<BeamRequest>): Promise<{ found: BeamText[][]; greedy: number[][]; pairs: number }> {
  await using backend = await leakCheckedBackend();
  await using model = await openFixture('llama');
  const shared = { prompts, maxNewTokens: 5, done: () => false };
  let found: BeamText[][];
  {
    await using generator = await TokenGenerator.create({ model, backend });
    found = await searchBeams(generator, { ...shared, beams: 1, ...request });
  }
  const greedy = await generateTokens({ ...shared, model, backend, pick: (logits) => logits.indexOf(Math.max(...logits)) });
  // The likeliest pair behind the first prompt, of all.
  const windows = Array.from({ length: 160 }, (_, token) => Int32Array.of(...prompts[0]!, token));
  const logits = await modelLogits(backend, model, windows);
  expectNoLeaks(backend);
  let best = -Infinity;
  for (let token = 0; token < 160; token++) best = Math.max(best, ln(logits, token, 2, token) + Math.max(...Array.from({ length: 160 }, (_, second) => ln(logits, token, 3, second))));
  return { found, greedy, pairs: best };
}

/** ln softmax of window, position, token, from logits [160, 4, 160]. */
function ln(logits: Float32Array, window: number, position: number, token: number): number {
  const row = logits.subarray((window * 4 + position) * 160, (window * 4 + position + 1) * 160);
  return row[token]! - Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
}

describe('searchBeams', () => {
  it('with one beam takes the likeliest token each time', async () => {
    const { found, greedy } = await search({});
    expect(found.map(([text]) => text!.tokens)).toEqual(greedy);
    expect(found.every(([text]) => !text!.ended)).toBe(true);
  });

  it('with all beams finds the likeliest text of all', async () => {
    const { found, pairs } = await search({ beams: 160, maxNewTokens: 2, batchSize: 200 });
    expect(found[0]![0]!.logProbability).toBeCloseTo(pairs, 4);
  });

  it('hands out several, the likeliest first, and the same whatever runs together', async () => {
    const { found } = await search({ beams: 4, count: 3 });
    for (const texts of found) {
      expect(texts).toHaveLength(3);
      expect(new Set(texts.map(({ tokens }) => tokens.join(' '))).size).toBe(3);
      expect(texts.map(({ logProbability }) => logProbability)).toEqual(texts.map(({ logProbability }) => logProbability).sort((left, right) => right - left));
    }
    const alone = await search({ beams: 4, count: 3, batchSize: 4 });
    expect(alone.found.map((texts) => texts.map(({ tokens }) => tokens))).toEqual(found.map((texts) => texts.map(({ tokens }) => tokens)));
  });

  it('lets texts end, and puts those that did first', async () => {
    const { greedy } = await search({});
    const stop = greedy[0]![1]!;
    const { found } = await search({ beams: 3, count: 3, done: (tokens) => tokens.at(-1) === stop });
    const [first] = found[0]!;
    expect(first).toMatchObject({ ended: true });
    expect(first!.tokens.at(-1)).toBe(stop);
    for (const texts of found) expect(texts.map(({ ended }) => ended)).toEqual(texts.map(({ ended }) => ended).sort((left, right) => Number(right) - Number(left)));
  });
});
