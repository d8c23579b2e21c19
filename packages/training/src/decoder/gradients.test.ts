import { hostTensor, type Backend, type DeviceTensor, type HostTensor, type Model } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { openModel } from '@pare/model';
import { expectNoLeaks, fixtureNames, openFixture, type FixtureName } from '@pare/testkit';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { crossEntropy, nextTokenTargets } from '../losses/index.js';
import { DecoderGradients, type Batch } from './gradients.js';
import { loadParameters, parametersOf } from './parameters.js';
import { decoderSegments, type Segment } from './segments.js';

/* Gradients of whole models against torch's in double precision; golden/README.md says how those were made. */

interface Golden {
  readonly ids: readonly (readonly number[])[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, { readonly shape: readonly number[]; readonly norm: number; readonly largest: number; readonly step: number; readonly elements: readonly number[] }>>;
}

type ModelName = FixtureName | 'tales-1m';
const models: readonly ModelName[] = [...fixtureNames, 'tales-1m'];
/** Models that are also differentiated in one piece. */
const whole: readonly ModelName[] = ['llama', 'gpt2', 'qwen3_moe', 'tales-1m'];

async function readGolden(name: ModelName): Promise<Golden> {
  return JSON.parse(await readFile(new URL(`../../golden/gradients-${name}.json`, import.meta.url), 'utf8')) as Golden;
}

function open(name: ModelName): Promise<Model> {
  return name === 'tales-1m' ? openModel(fileURLToPath(new URL('../../../../examples/models/tales-1m', import.meta.url)), { architectures: [llamaArchitecture] }) : openFixture(name);
}

function batchOf(windows: readonly Int32Array[], count?: number): Batch {
  const length = windows[0]!.length;
  const ids = BigInt64Array.from(windows.flatMap((window) => Array.from(window, BigInt)));
  return { ids: hostTensor('int64', [windows.length, length], ids), inputs: { ...nextTokenTargets(windows, undefined, count) } };
}

interface Run {
  readonly loss: number;
  /** By parameter, in float32, [out, in]. */
  readonly gradients: ReadonlyMap<string, HostTensor>;
  /** Names in the order in which gradients came. */
  readonly order: readonly (readonly string[])[];
}

async function run(backend: Backend, model: Model, segments: readonly Segment[], batches: readonly Batch[], recompute: boolean, only?: (name: string) => boolean): Promise<Run> {
  const parameters = await loadParameters(backend, model, segments);
  try {
    const trainable = new Set(parametersOf(segments).map(({ name }) => name).filter(only ?? (() => true)));
    await using gradients = new DecoderGradients({ backend, segments, parameters, trainable, recompute });
    let loss = 0;
    let sums = new Map<string, DeviceTensor>();
    const order: string[][] = [];
    for (const batch of batches) {
      const next: typeof sums = new Map();
      const value = await gradients.backward(
        batch,
        (complete) => {
          order.push([...complete.keys()]);
          for (const [name, tensor] of complete) next.set(name, tensor);
        },
        sums,
      );
      expect(await gradients.loss(batch)).toEqual({ ...value, loss: expect.closeTo(value.loss, 4) as number });
      loss += value.loss;
      sums = next;
    }
    const read = new Map<string, HostTensor>();
    for (const [name, tensor] of sums) {
      read.set(name, await backend.read(tensor));
      tensor[Symbol.dispose]();
    }
    return { loss, gradients: read, order };
  } finally {
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  }
}

/** A matrix [rows, columns] as [columns, rows]. */
function transposed({ shape, data }: HostTensor): Float32Array {
  const [rows, columns] = shape as [number, number];
  return Float32Array.from({ length: rows * columns }, (_, index) => Number(data[(index % rows) * columns + Math.floor(index / rows)]));
}

function largestDifference(left: HostTensor, right: HostTensor): number {
  expect(left.shape).toEqual(right.shape);
  return (left.data as Float32Array).reduce((most, value, index) => Math.max(most, Math.abs(value - Number(right.data[index]))), 0);
}

function compare(golden: Golden, model: Model, found: ReadonlyMap<string, HostTensor>, tolerance: number): void {
  const stored = new Map(model.modules.map(({ name, layout }) => [`${name}.weight`, layout]));
  expect(found.size).toBe(Object.keys(golden.gradients).length);
  for (const [torchName, { shape, norm, largest, step, elements }] of Object.entries(golden.gradients)) {
    const name = [...found.keys()].find((candidate) => torchName === candidate || torchName.endsWith(`.${candidate}`)) ?? torchName;
    const gradient = found.get(name);
    expect(gradient, name).toBeDefined();
    const turned = stored.get(name) === 'in-out';
    expect(turned ? [...gradient!.shape].reverse() : gradient!.shape, name).toEqual(shape);
    const data = turned ? transposed(gradient!) : (gradient!.data as Float32Array);
    const length = Math.sqrt(data.reduce((sum, value) => sum + value ** 2, 0));
    // A bias of all keys moves all scores of a row alike: its gradient is zero but for rounding.
    if (norm < 1e-8) {
      expect(length, `norm of ${name}`).toBeLessThan(1e-6);
      continue;
    }
    expect(Math.abs(length - norm) / norm, `norm of ${name}`).toBeLessThan(tolerance);
    for (const [index, element] of elements.entries()) expect(Math.abs(data[index * step]! - element) / largest, `${name}, element ${String(index * step)}`).toBeLessThan(tolerance);
  }
}

describe.each([
  { id: 'reference', create: () => referenceBackend.create({}, { log: console }) },
  { id: 'cpu', create: () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }) },
])('gradients of models on the $id backend', ({ create }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await create();
  });
  afterEach(() => {
    expectNoLeaks(backend);
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  it.each([...models.map((name) => [name, true] as const), ...whole.map((name) => [name, false] as const)])('agree with torch: %s, recomputing: %s', async (name, recompute) => {
    const golden = await readGolden(name);
    await using model = await open(name);
    const segments = decoderSegments({ description: model.description, experts: 'routed', loss: crossEntropy });
    const found = await run(backend, model, segments, [batchOf(golden.ids.map((ids) => Int32Array.from(ids)))], recompute);
    expect(Math.abs(found.loss - golden.loss)).toBeLessThan(1e-4 * golden.loss);
    compare(golden, model, found.gradients, 1e-4);
  });

  it('adds gradients of batches up to those of one batch', async () => {
    await using model = await open('llama');
    const windows = (await readGolden('llama')).ids.map((ids) => Int32Array.from(ids));
    const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
    const whole = await run(backend, model, segments, [batchOf(windows)], true);
    const tokens = windows.reduce((sum, { length }) => sum + length - 1, 0);
    for (const recompute of [true, false]) {
      const parts = await run(backend, model, segments, windows.map((window) => batchOf([window], tokens)), recompute);
      expect(parts.loss).toBeCloseTo(whole.loss, 5);
      for (const [name, gradient] of whole.gradients) expect(largestDifference(parts.gradients.get(name)!, gradient), name).toBeLessThan(1e-6);
    }
  });

  it('hands gradients over block by block and stops where nothing is trained any more', async () => {
    await using model = await open('llama');
    const windows = (await readGolden('llama')).ids.map((ids) => Int32Array.from(ids));
    const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
    const all = await run(backend, model, segments, [batchOf(windows)], true);
    expect(all.order.map((names) => names[0]!.replace(/^model\.(layers\.\d+).*/, '$1'))).toEqual(['model.norm.weight', 'layers.1', 'layers.0', 'model.embed_tokens.weight']);
    const some = await run(backend, model, segments, [batchOf(windows)], true, (name) => name.endsWith('layers.1.mlp.down_proj.weight'));
    expect(some.order).toEqual([['model.layers.1.mlp.down_proj.weight']]);
    for (const [name, gradient] of some.gradients) expect(largestDifference(gradient, all.gradients.get(name)!)).toBeLessThan(1e-7);
  });
});
