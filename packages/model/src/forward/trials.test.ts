import llama from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { createRandom, type Backend, type HostTensor, type Model } from '@pare/core';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openModel, overlayModel } from '../open/index.js';
import { createBlockRunner, type BlockRunner, type HiddenStates } from './index.js';

const fixture = (name: string): string => join(import.meta.dirname, '../../../testkit/fixtures/architectures', name);
const silent = (): void => undefined;

let backend: Backend;
beforeEach(async () => {
  backend = await referenceBackend.create({}, { log: { debug: silent, info: silent, warn: silent, error: silent } });
});
afterEach(async () => {
  expect(backend.memory().tensors).toBe(0);
  await backend[Symbol.asyncDispose]();
});

function windows(count: number, length: number): Int32Array[] {
  const random = createRandom(5);
  return Array.from({ length: count }, () => Int32Array.from({ length }, () => Math.floor(160 * random())));
}

type Weight = HostTensor & { readonly data: Float32Array };

async function changed(model: Model, module: string): Promise<Weight> {
  const weight = await model.denseWeight(module);
  for (const [index, value] of weight.data.entries()) weight.data[index] = value * (1 + 0.2 * Math.sin(index));
  return weight;
}

/** What all windows' hidden states change by, mean over elements, when a block runs with one other weight. */
async function blockChange(runner: BlockRunner, model: Model, given: readonly Int32Array[], module: string, weight: Weight): Promise<number> {
  const over = overlayModel(model, new Map([[module, () => Promise.resolve({ form: 'dense' as const, shape: weight.shape, tensor: weight })]]), new Map([[module, { produces: 'dense' as const, storedBits: 0 }]]));
  const after = async (source: Model): Promise<Float32Array> => {
    await using hidden: HiddenStates = await runner.embed(given);
    await runner.advance(0, hidden, source);
    return Float32Array.from((await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk)))).flatMap(({ data }) => [...(data as Float32Array)]));
  };
  const [before, now] = [await after(model), await after(over)];
  return before.reduce((sum, value, index) => sum + (value - now[index]!) ** 2, 0) / before.length;
}

describe('trials of a block', () => {
  // The MLP's output reaches the block's output unchanged, so its change is that of the block.
  it.each(['llama', 'qwen3_moe'])('measure what a half of %s changes by', async (name) => {
    await using model = await openModel(fixture(name), { architectures: [llama] });
    await using runner = createBlockRunner({ model, backend, chunkTokens: 16 });
    const given = [...windows(3, 8), ...windows(1, 5)];
    const module = name === 'llama' ? 'model.layers.0.mlp.gate_proj' : 'model.layers.0.mlp.experts.1.down_proj';
    await using hidden = await runner.embed(given);
    using held = runner.trials(0, hidden, 1000);
    expect(held.tokens).toBe(29);
    const weight = await changed(model, module);
    const expected = await blockChange(runner, model, given, module, weight);
    expect(expected).toBeGreaterThan(0);
    expect((await held.loss('mlp', new Map([[`${module}.weight`, await changed(model, module)]]))) / expected).toBeCloseTo(1, 4);
    expect(await held.loss('mlp', new Map())).toBe(0);
    // Weights that a trial replaced are themselves again in the next.
    expect((await held.loss('mlp', new Map([[`${module}.weight`, await changed(model, module)]]))) / expected).toBeCloseTo(1, 4);
  });

  it('run attention by itself', async () => {
    await using model = await openModel(fixture('llama'), { architectures: [llama] });
    await using runner = createBlockRunner({ model, backend });
    await using hidden = await runner.embed(windows(2, 8));
    using trials = runner.trials(0, hidden, 16);
    const module = 'model.layers.0.self_attn.o_proj';
    const zeros = await model.denseWeight(module);
    zeros.data.fill(0);
    const whole = await trials.loss('attention', new Map([[`${module}.weight`, zeros]]));
    const part = await trials.loss('attention', new Map([['model.layers.0.self_attn.v_proj.weight', await changed(model, 'model.layers.0.self_attn.v_proj')]]));
    expect(part).toBeGreaterThan(0);
    expect(whole).toBeGreaterThan(part);
  });

  it('take windows from all over the text, at least one and no more than asked for', async () => {
    await using model = await openModel(fixture('llama'), { architectures: [llama] });
    await using runner = createBlockRunner({ model, backend, chunkTokens: 16 });
    await using hidden = await runner.embed(windows(9, 8));
    for (const [asked, taken] of [[1, 8], [16, 16], [31, 24], [500, 72]] as const) {
      using trials = runner.trials(0, hidden, asked);
      expect(trials.tokens).toBe(taken);
    }
  });

  it('refuse tensors that the half does not read', async () => {
    await using model = await openModel(fixture('llama'), { architectures: [llama] });
    await using runner = createBlockRunner({ model, backend });
    await using hidden = await runner.embed(windows(1, 8));
    using trials = runner.trials(0, hidden, 8);
    const weight = await model.denseWeight('model.layers.0.mlp.up_proj');
    await expect(trials.loss('attention', new Map([['model.layers.0.mlp.up_proj.weight', weight]]))).rejects.toMatchObject({ code: 'PARE_TENSOR_UNKNOWN' });
  });
});
