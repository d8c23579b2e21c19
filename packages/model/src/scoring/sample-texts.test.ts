import { createRandom, type Backend, type Model } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBlockRunner } from '../forward/index.js';
import { openModel } from '../open/index.js';
import { TokenGenerator } from './generate-tokens.js';
import { drawToken, logProbability, pickToken, tokenProbabilities } from './pick-token.js';
import { sampleMixedTexts, sampleTexts } from './sample-texts.js';

const open = (name: string): Promise<Model> => openModel(fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url)), { architectures: [llamaArchitecture] });

/** Logits [length, vocabulary] of a whole pass. */
async function wholeLogits(whole: Model, ids: Int32Array): Promise<Float32Array> {
  await using runner = createBlockRunner({ model: whole, backend });
  await using hidden = await runner.embed([ids]);
  for (const block of whole.description.blocks.keys()) await runner.advance(block, hidden);
  return (await runner.logits(hidden))[0]!.data as Float32Array;
}

let backend: Backend;
let model: Model;
let other: Model;
beforeAll(async () => {
  backend = await referenceBackend.create({}, { log: console });
  [model, other] = [await open('llama-tied-rope-scaled'), await open('llama')];
});
afterEach(() => {
  expect(backend.memory().tensors).toBe(0);
});
afterAll(async () => {
  await model[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
});

const plain = { temperature: 1, topK: 0, topP: 1 };
const random = createRandom(5);
const prompts = [3, 9, 1].map((length) => Int32Array.from({ length }, () => Math.floor(random() * 160)));

describe('tokenProbabilities', () => {
  const logits = Float32Array.of(1, 3, 3, -1, 2);

  it('are those that tokens are drawn by', () => {
    for (const options of [plain, { ...plain, temperature: 2 }, { ...plain, topK: 3 }, { ...plain, topP: 0.75 }]) {
      const probabilities = tokenProbabilities(logits, options);
      expect(probabilities.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12);
      const counts = new Float64Array(5);
      const source = createRandom(3);
      for (let count = 0; count < 20_000; count++) counts[pickToken(logits, options, source)]! += 1 / 20_000;
      for (const [id, share] of counts.entries()) expect(share).toBeCloseTo(probabilities[id]!, 1.7);
    }
    expect([...tokenProbabilities(logits, { ...plain, temperature: 0 })]).toEqual([0, 1, 0, 0, 0]);
    expect(Math.exp(logProbability(logits, 4))).toBeCloseTo(tokenProbabilities(logits, plain)[4]!, 12);
  });

  it('give every number a token that may be drawn', () => {
    const probabilities = Float64Array.of(0, 0.25, 0.75, 0);
    expect([0, 0.24, 0.26, 0.9999999999999999].map((number) => drawToken(probabilities, () => number))).toEqual([1, 1, 2, 2]);
  });

  it('of a mixture make weights whose expectation is 1', () => {
    const [p, q] = [tokenProbabilities(Float32Array.of(0, 4, 1), plain), tokenProbabilities(Float32Array.of(2, -1, 0), plain)];
    const mixed = q.map((own, id) => 0.2 * p[id]! + 0.8 * own);
    expect(mixed.reduce((sum, value, id) => sum + value * (q[id]! / value), 0)).toBeCloseTo(1, 12);
  });
});

describe('sampled texts', () => {
  it('follow the seed, whatever the batches are, and end at stop tokens', async () => {
    await using generator = await TokenGenerator.create({ model, backend });
    const request = { ...plain, prompts, maxNewTokens: 5, seed: 7 };
    const texts = await sampleTexts(generator, request);
    expect(texts.map(({ tokens, ended }) => [tokens.length, ended])).toEqual([[5, false], [5, false], [5, false]]);
    expect(await sampleTexts(generator, { ...request, batchSize: 1 })).toEqual(texts);
    expect(await sampleTexts(generator, { ...request, seed: 8 })).not.toEqual(texts);
    const stop = texts[1]!.tokens[2]!;
    const [, stopped] = await sampleTexts(generator, { ...request, stopTokens: [stop] });
    expect([...stopped!.tokens]).toEqual([...texts[1]!.tokens.subarray(0, 1 + texts[1]!.tokens.indexOf(stop))]);
    expect(stopped!.ended).toBe(true);
  });

  it('of a mixture come with what both models say of them', async () => {
    await using student = await TokenGenerator.create({ model, backend });
    await using teacher = await TokenGenerator.create({ model: other, backend });
    const request = { ...plain, prompts, maxNewTokens: 4, seed: 2, student, teacher };
    const alone = await sampleMixedTexts({ ...request, teacherShare: 0 });
    for (const { importance } of alone) for (const weight of importance) expect(weight).toBeCloseTo(1, 9);
    expect(alone.map(({ tokens }) => tokens)).toEqual((await sampleTexts(student, request)).map(({ tokens }) => tokens));

    const mixed = await sampleMixedTexts({ ...request, teacherShare: 0.4, batchSize: 2 });
    for (const [index, sample] of mixed.entries()) {
      const ids = Int32Array.from([...prompts[index]!, ...sample.tokens]);
      for (const [side, whole] of [['student', model], ['teacher', other]] as const) {
        const logits = await wholeLogits(whole, ids);
        for (const [place, token] of sample.tokens.entries()) {
          const row = prompts[index]!.length + place - 1;
          expect(sample[side][place]).toBeCloseTo(logProbability(logits.subarray(row * 160, (row + 1) * 160), token), 4);
        }
      }
      for (const [place, weight] of sample.importance.entries()) {
        const [p, q] = [Math.exp(sample.teacher[place]!), Math.exp(sample.student[place]!)];
        expect(weight).toBeCloseTo(q / (0.4 * p + 0.6 * q), 6);
      }
    }
  });

  it('need a token to be drawn', async () => {
    await using student = await TokenGenerator.create({ model, backend });
    await expect(sampleMixedTexts({ ...plain, prompts, maxNewTokens: 0, seed: 1, student, teacher: student, teacherShare: 0 })).rejects.toThrow('0 new tokens');
  });
});
