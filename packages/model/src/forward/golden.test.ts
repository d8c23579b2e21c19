import type { Backend, HostTensor, Model } from '@pare/core';
import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openModel } from '../open/index.js';
import { SafetensorsFile } from '../store/index.js';
import { createBlockRunner } from './block-runner.js';
import type { HiddenStates } from './hidden-states.js';

const architectures = [llamaArchitecture, gpt2Architecture, gptNeoxArchitecture, optArchitecture];
const fixtures = ['gemma2', 'gpt2', 'gpt_neox', 'llama', 'llama-tied-rope-scaled', 'mistral', 'opt', 'phi3', 'qwen2', 'qwen3', 'qwen3_moe'];
const folder = (name: string): string => fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url));

interface Golden {
  readonly windows: readonly Int32Array[];
  readonly logits: Float32Array;
  /** Embedding, then each block's output; the last one after the final norm. */
  readonly hidden: readonly Float32Array[];
}

async function readGolden(name: string, blocks: number): Promise<Golden> {
  await using file = await SafetensorsFile.open(`${folder(name)}/golden.safetensors`);
  const ids = await file.read('input_ids');
  const [windows, length] = ids.shape as [number, number];
  const floats = async (tensor: string): Promise<Float32Array> => (await file.read(tensor)).data as Float32Array;
  return {
    windows: Array.from({ length: windows }, (_, window) => Int32Array.from(ids.data.subarray(window * length, (window + 1) * length) as BigInt64Array, Number)),
    logits: await floats('logits'),
    hidden: await Promise.all(Array.from({ length: blocks + 1 }, (_, index) => floats(`hidden_${String(index)}`))),
  };
}

function largestDifference(left: Float32Array, right: Float32Array): number {
  expect(left.length).toBe(right.length);
  return left.reduce((most, value, index) => Math.max(most, Math.abs(value - right[index]!)), 0);
}

function joined(tensors: readonly HostTensor[]): Float32Array {
  return Float32Array.from(tensors.flatMap(({ data }) => Array.from(data as Float32Array)));
}

async function values(hidden: HiddenStates): Promise<Float32Array> {
  return joined(await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk))));
}

describe('the forward pass on the reference backend', () => {
  let backend: Backend;
  beforeEach(async () => {
    backend = await referenceBackend.create({}, { log: console });
  });
  afterEach(() => {
    expect(backend.memory().tensors).toBe(0);
  });

  it.each(fixtures)('reproduces hidden states and logits of %s', async (name) => {
    await using model: Model = await openModel(folder(name), { architectures });
    const { blocks } = model.description;
    const golden = await readGolden(name, blocks.length);
    await using runner = createBlockRunner({ model, backend });
    await using hidden = await runner.embed(golden.windows);
    expect(largestDifference(await values(hidden), golden.hidden[0]!)).toBeLessThan(1e-4);
    for (const block of blocks.keys()) {
      await runner.advance(block, hidden);
      if (block + 1 < blocks.length) expect(largestDifference(await values(hidden), golden.hidden[block + 1]!)).toBeLessThan(1e-4);
    }
    expect(largestDifference(joined(await runner.logits(hidden)), golden.logits)).toBeLessThan(1e-4);
  });
});
