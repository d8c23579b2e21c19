import { createRandom, type Backend, type Model } from '@pare/core';
import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { greedyGenerate } from '../forward/index.js';
import { openModel } from '../open/index.js';
import { generateTokens, TokenGenerator } from './generate-tokens.js';
import { pickToken } from './pick-token.js';

const architectures = [llamaArchitecture, gpt2Architecture, gptNeoxArchitecture, optArchitecture];
const fixtures = ['gemma2', 'gpt2', 'gpt_neox', 'llama', 'llama-tied-rope-scaled', 'mistral', 'opt', 'phi3', 'qwen2', 'qwen3', 'qwen3_moe'];
const greedy = { temperature: 0, topK: 0, topP: 1 };

describe('pickToken', () => {
  const logits = Float32Array.of(1, 3, 3, -1, 2);
  const shares = (options: { temperature: number; topK: number; topP: number }): number[] => {
    const random = createRandom(3);
    const counts = [0, 0, 0, 0, 0];
    for (let draw = 0; draw < 20_000; draw++) counts[pickToken(logits, options, random)]! += 1 / 20_000;
    return counts;
  };

  it('takes the first of the likeliest without temperature', () => {
    expect(pickToken(logits, greedy, () => 0.9)).toBe(1);
  });

  it('draws by softmax(logits / temperature)', () => {
    const weights = [...logits].map((logit) => Math.exp(logit / 2));
    const total = weights.reduce((sum, value) => sum + value, 0);
    for (const [id, share] of shares({ temperature: 2, topK: 0, topP: 1 }).entries()) expect(share).toBeCloseTo(weights[id]! / total, 1.7);
  });

  it('draws from the likeliest only', () => {
    expect(shares({ temperature: 1, topK: 1, topP: 1 })[1]).toBeCloseTo(1, 6);
    const three = shares({ temperature: 1, topK: 3, topP: 1 });
    expect([three[0], three[3]]).toEqual([0, 0]);
    expect(three[4]).toBeCloseTo(Math.exp(-1) / (2 + Math.exp(-1)), 1.7);
    // Tokens 1 and 2 hold 0.80 of the probability, token 4 another 0.15.
    expect(shares({ temperature: 1, topK: 0, topP: 0.75 }).map((share) => share > 0)).toEqual([false, true, true, false, false]);
    expect(shares({ temperature: 1, topK: 0, topP: 0.85 }).map((share) => share > 0)).toEqual([false, true, true, false, true]);
  });
});

describe.each([
  { id: 'reference', create: () => referenceBackend.create({}, { log: console }) },
  { id: 'cpu', create: () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }) },
])('generateTokens on the $id backend', ({ create }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await create();
  });
  afterEach(() => {
    expect(backend.memory().tensors).toBe(0);
  });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
  });

  const open = (name: string): Promise<Model> => openModel(fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url)), { architectures });
  const random = createRandom(5);
  const prompts = [3, 21, 1].map((length) => Int32Array.from({ length }, () => Math.floor(random() * 160)));

  it.each(fixtures)('continues texts of %s as whole passes do', async (name) => {
    await using model = await open(name);
    const tokens = await generateTokens({ model, backend, prompts, maxNewTokens: 4, pick: (logits) => pickToken(logits, greedy, Math.random), done: () => false });
    for (const [index, prompt] of prompts.entries()) {
      expect(tokens[index]).toEqual([...(await greedyGenerate(model, backend, prompt, 4)).subarray(prompt.length)]);
    }
  });

  it('stops each text by itself, whatever the batches are', async () => {
    await using model = await open('llama');
    const run = (batchSize: number) =>
      generateTokens({ model, backend, prompts, batchSize, maxNewTokens: 5, pick: (logits) => pickToken(logits, greedy, Math.random), done: (tokens, prompt) => tokens.length === prompt + 1 });
    const tokens = await run(2);
    expect(tokens.map(({ length }) => length)).toEqual([1, 2, 3]);
    expect(await run(1)).toEqual(tokens);
    expect(await run(8)).toEqual(tokens);
  });

  it('takes weights that are on the device, also when they change between calls', async () => {
    await using model = await open('llama');
    const request = { prompts, maxNewTokens: 3, pick: (logits: Float32Array) => pickToken(logits, greedy, Math.random), done: () => false };
    const expected = await generateTokens({ model, backend, ...request });
    const name = 'lm_head.weight';
    const head = await model.denseWeight('lm_head');
    const parameters = new Map([[name, backend.write(head)]]);
    {
      await using generator = await TokenGenerator.create({ model, backend, parameters });
      expect(await generator.generate(request)).toEqual(expected);
      parameters.get(name)![Symbol.dispose]();
      // The head upside down gives the last token's place to the first.
      const [rows, width] = head.shape as [number, number];
      const turned = Float32Array.from({ length: rows * width }, (_, index) => head.data[(rows - 1 - Math.floor(index / width)) * width + (index % width)]!);
      parameters.set(name, backend.write({ ...head, data: turned }));
      expect((await generator.generate({ ...request, maxNewTokens: 1 })).map(([token]) => token)).toEqual(expected.map(([token]) => rows - 1 - token!));
      expect(await generator.generate({ ...request, prompts: [] })).toEqual([]);
    }
    parameters.get(name)![Symbol.dispose]();
  });

  it('refuses what does not fit', async () => {
    await using model = await open('llama');
    const run = (prompt: Int32Array) => generateTokens({ model, backend, prompts: [prompt], maxNewTokens: 9, pick: () => 0, done: () => false });
    await expect(run(new Int32Array(121))).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 129, positions: 128 } });
    await expect(run(Int32Array.of(160))).rejects.toMatchObject({ code: 'PARE_TOKEN_OUT_OF_RANGE' });
    await expect(run(new Int32Array(0))).rejects.toThrow(RangeError);
  });

  it('stops when it is cancelled', async () => {
    await using model = await open('llama');
    const controller = new AbortController();
    const pick = (): number => {
      controller.abort();
      return 1;
    };
    await expect(generateTokens({ model, backend, prompts, maxNewTokens: 9, signal: controller.signal, pick, done: () => false })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});
