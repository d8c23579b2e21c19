import {
  createRandom,
  float32Tensor,
  isPareError,
  type Backend,
  type FormatContext,
  type HostTensor,
  type Model,
  type ModulePlan,
  type QuantizedWeight,
  type WeightForm,
  type WrittenFile,
} from '@pare/core';
import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import { referenceBackend } from '@pare/backend-reference';
import { readOnnxFile } from '@pare/graph/node';
import { createBlockRunner, openModel, overlayModel, SafetensorsFile } from '@pare/model';
import { quantizeMatrix } from '@pare/weights';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onnxFormat, onnxOptions, type OnnxOptions } from './index.js';
import { DecoderSession } from './session.js';

const architectures = [llamaArchitecture, gpt2Architecture, gptNeoxArchitecture, optArchitecture];
const fixtures = ['gemma2', 'gpt2', 'gpt_neox', 'llama', 'llama-tied-rope-scaled', 'mistral', 'opt', 'phi3', 'qwen2', 'qwen3', 'qwen3_moe'];
const folder = (name: string): string => fileURLToPath(new URL(`../../../packages/testkit/fixtures/architectures/${name}`, import.meta.url));

let backend: Backend;
let directory: string;
beforeEach(async () => {
  backend = await referenceBackend.create({}, { log: console });
  directory = await mkdtemp(join(tmpdir(), 'pare-onnx-'));
});
afterEach(async () => {
  expect(backend.memory().tensors).toBe(0);
  await rm(directory, { recursive: true });
});

const openFixture = (name: string): Promise<Model> => openModel(folder(name), { architectures });

function contextOf(model: Model, options: Partial<OnnxOptions> = {}): FormatContext<OnnxOptions> {
  return {
    model,
    options: { ...onnxOptions.parse({}), ...options },
    directory,
    backend,
    log: console,
    signal: new AbortController().signal,
    seed: 0,
    progress: { report: () => undefined },
    services: {},
  };
}

async function write(model: Model, options: Partial<OnnxOptions> = {}): Promise<readonly WrittenFile[]> {
  return onnxFormat.write(contextOf(model, options));
}

interface Golden {
  readonly ids: number[][];
  /** [windows][positions · vocabulary]. */
  readonly logits: Float32Array[];
}

async function readGolden(name: string): Promise<Golden> {
  await using file = await SafetensorsFile.open(`${folder(name)}/golden.safetensors`);
  const ids = await file.read('input_ids');
  const logits = (await file.read('logits')).data as Float32Array;
  const [windows, length] = ids.shape as [number, number];
  return {
    ids: Array.from({ length: windows }, (_, window) => Array.from(ids.data.subarray(window * length, (window + 1) * length) as BigInt64Array, Number)),
    logits: Array.from({ length: windows }, (_, window) => logits.subarray((window * logits.length) / windows, ((window + 1) * logits.length) / windows)),
  };
}

/** The model's own logits for windows of one length. */
async function forward(model: Model, ids: readonly (readonly number[])[]): Promise<Float32Array[]> {
  await using runner = createBlockRunner({ model, backend });
  const results: Float32Array[] = [];
  for (const window of ids) {
    await using hidden = await runner.embed([Int32Array.from(window)]);
    for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
    results.push((await runner.logits(hidden))[0]!.data as Float32Array);
  }
  return results;
}

const ones = (rows: readonly (readonly number[])[]): number[][] => rows.map((row) => row.map(() => 1));
const columns = (rows: readonly (readonly number[])[], start: number, end?: number): number[][] => rows.map((row) => row.slice(start, end));

function largestDifference(left: ArrayLike<number>, right: ArrayLike<number>): number {
  expect(left.length).toBe(right.length);
  let largest = 0;
  for (let index = 0; index < left.length; index++) {
    const difference = Math.abs(left[index]! - right[index]!);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** Largest difference between expected logits and those of a file: as one prompt, and as a prompt of 10 tokens with the rest one by one. */
async function compare(model: Model, file: string, ids: number[][], expected: readonly Float32Array[], half = false): Promise<{ prompt: number; steps: number }> {
  const vocabulary = model.description.vocabularySize;
  await using session = await DecoderSession.open(join(directory, file), model, half);
  const prompt = await session.next({ ids, mask: ones(ids) });
  const whole = largestDifference(prompt, Float32Array.from(expected.flatMap((logits) => Array.from(logits))));
  session.reset();
  const [start, length] = [10, ids[0]!.length];
  await session.next({ ids: columns(ids, 0, start), mask: ones(columns(ids, 0, start)) });
  let steps = 0;
  for (let position = start; position < length; position++) {
    const logits = await session.next({ ids: columns(ids, position, position + 1), mask: ids.map(() => [1]) });
    expected.forEach((reference, window) => {
      const found = logits.subarray(window * vocabulary, (window + 1) * vocabulary);
      steps = Math.max(steps, largestDifference(found, reference.subarray(position * vocabulary, (position + 1) * vocabulary)));
    });
  }
  return { prompt: whole, steps };
}

/** The model with some modules rounded to the nearest code. */
async function quantized(model: Model, select: (name: string) => boolean, scheme: { bits: number; symmetric: boolean; groupSize: number }): Promise<Model> {
  const replaced = new Map<string, () => Promise<WeightForm>>();
  for (const { name, kind } of model.modules) {
    if (kind === 'router' || !select(name)) continue;
    const { data, shape } = await model.denseWeight(name);
    const weight = quantizeMatrix(data, shape as [number, number], { ...scheme, granularity: 'group', clip: 'minmax' }, 'float32');
    replaced.set(name, () => Promise.resolve(weight));
  }
  return overlayModel(model, replaced);
}

const blockLinears = (name: string): boolean => /layers?\.|\.h\./.test(name);

describe('onnxFormat', () => {
  it.each(fixtures)('writes %s in fp32 with golden logits, as a prompt and step by step', async (name) => {
    await using model = await openFixture(name);
    const golden = await readGolden(name);
    await write(model);
    const { prompt, steps } = await compare(model, 'onnx/model.onnx', golden.ids, golden.logits);
    expect(prompt).toBeLessThan(1e-4);
    expect(steps).toBeLessThan(1e-4);
  });
});
