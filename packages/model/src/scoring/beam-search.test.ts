import type { Backend, Model } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../open/index.js';
import { searchBeams, type BeamRequest, type BeamText } from './beam-search.js';
import { generateTokens, TokenGenerator } from './generate-tokens.js';
import { logProbability } from './pick-token.js';

const prompts = [[5, 17, 42], [9, 3], [70, 71, 72, 73]].map((ids) => Int32Array.from(ids));
const shared = { prompts, maxNewTokens: 5, done: () => false };

let [backend, model] = [undefined as unknown as Backend, undefined as unknown as Model];
beforeAll(async () => {
  backend = await referenceBackend.create({}, { log: console });
  model = await openModel(fileURLToPath(new URL('../../../testkit/fixtures/architectures/llama', import.meta.url)), { architectures: [llamaArchitecture] });
});
afterEach(() => {
  expect(backend.memory().tensors).toBe(0);
});
afterAll(async () => {
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
});

async function search(request: Partial<BeamRequest>): Promise<BeamText[][]> {
  await using generator = await TokenGenerator.create({ model, backend });
  return await searchBeams(generator, { ...shared, beams: 1, ...request });
}

const greedy = (): Promise<number[][]> => generateTokens({ ...shared, model, backend, pick: (logits) => logits.indexOf(Math.max(...logits)) });

/** ln p of the likeliest pair of tokens behind the first prompt, of all pairs. */
async function likeliestPair(): Promise<number> {
  await using generator = await TokenGenerator.create({ model, backend });
  const first = async (texts: readonly Int32Array[]): Promise<Float32Array[]> => {
    using batch = generator.begin(texts, 2);
    return await batch.first();
  };
  const tokens = Array.from({ length: 160 }, (_, token) => token);
  const [head] = await first([prompts[0]!]);
  const tails = await first(tokens.map((token) => Int32Array.of(...prompts[0]!, token)));
  return Math.max(...tokens.map((token) => logProbability(head!, token) + Math.max(...tokens.map((second) => logProbability(tails[token]!, second)))));
}

describe('searchBeams', () => {
  it('with one beam takes the likeliest token each time', async () => {
    const found = await search({});
    expect(found.map(([text]) => text!.tokens)).toEqual(await greedy());
    expect(found.every(([text]) => !text!.ended)).toBe(true);
  });

  it('with all beams finds the likeliest text of all', async () => {
    const found = await search({ beams: 160, maxNewTokens: 2, batchSize: 200 });
    expect(found[0]![0]!.logProbability).toBeCloseTo(await likeliestPair(), 4);
  });

  it('hands out several, the likeliest first, and the same whatever runs together', async () => {
    const found = await search({ beams: 4, count: 3 });
    for (const texts of found) {
      expect(texts).toHaveLength(3);
      expect(new Set(texts.map(({ tokens }) => tokens.join(' '))).size).toBe(3);
      expect(texts.map(({ logProbability }) => logProbability)).toEqual(texts.map(({ logProbability }) => logProbability).sort((left, right) => right - left));
    }
    const alone = await search({ beams: 4, count: 3, batchSize: 4 });
    expect(alone.map((texts) => texts.map(({ tokens }) => tokens))).toEqual(found.map((texts) => texts.map(({ tokens }) => tokens)));
  });

  it('lets texts end, and puts those that did first', async () => {
    const stop = (await greedy())[0]![1]!;
    const found = await search({ beams: 3, count: 3, done: (tokens) => tokens.at(-1) === stop });
    const [first] = found[0]!;
    expect(first).toMatchObject({ ended: true });
    expect(first!.tokens.at(-1)).toBe(stop);
    for (const texts of found) expect(texts.map(({ ended }) => ended)).toEqual(texts.map(({ ended }) => ended).sort((left, right) => Number(right) - Number(left)));
  });
});
