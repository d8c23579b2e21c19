import type { Backend, DeviceTensor, FileSystem, Model } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { memoryFiles } from '@pare/platform';
import { expectNoLeaks, failure, openFixture } from '@pare/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { adapterNames, createAdapterParameters, lora, mergeAdapter, type Adapter } from '../adapters/index.js';
import { TrainingOrder, windowBatches, type TrainingWindow } from '../data/index.js';
import { decoderSegments, DecoderGradients, loadParameters, type Batch, type Segment } from '../decoder/index.js';
import { crossEntropy } from '../losses/index.js';
import { adamW, schedule } from '../optimizers/index.js';
import { train, type StepReport, type TrainOptions } from './train.js';

/** Rows that repeat a few tokens: easily learnt by heart. */
const windows = Array.from({ length: 4 }, (_, window): TrainingWindow => ({ ids: Int32Array.from({ length: 12 }, (_token, position) => 10 * window + (position % 4)), mask: new Uint8Array(12).fill(1) }));
const batches = (microBatch?: number): TrainOptions['batches'] =>
  windowBatches({ windows, order: new TrainingOrder({ count: windows.length, order: 'shuffled', seed: 1 }), batchSize: 4, ...(microBatch === undefined ? {} : { microBatch }) });

let backend: Backend;
let model: Model;
beforeAll(async () => {
  backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  model = await openFixture('llama-tied-rope-scaled');
});
afterEach(() => {
  expectNoLeaks(backend);
});
afterAll(async () => {
  await model[Symbol.asyncDispose]();
  await backend[Symbol.asyncDispose]();
});

const segmentsOf = (adapters?: ReadonlyMap<string, Adapter>): Segment[] => decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy, adapters });

interface Trained {
  readonly losses: readonly number[];
  readonly reports: readonly StepReport[];
  readonly weights: ReadonlyMap<string, Float32Array>;
}

const settings = (steps: number): Pick<TrainOptions, 'steps' | 'optimizer' | 'schedule' | 'clipNorm'> => ({ steps, optimizer: adamW(), schedule: schedule({ rate: 0.02, warmup: 2, steps: 6 }), clipNorm: 1 });

/** Trains everything, and reads the weights whether or not it came to the end. */
async function run(options: Partial<TrainOptions>, spoil?: (parameters: Map<string, DeviceTensor>) => void, outcome: { weights?: ReadonlyMap<string, Float32Array> } = {}): Promise<Trained> {
  const segments = segmentsOf();
  const parameters = await loadParameters(backend, model, segments);
  spoil?.(parameters);
  const reports: StepReport[] = [];
  const read = async (): Promise<Map<string, Float32Array>> => {
    const weights = new Map<string, Float32Array>();
    for (const [name, tensor] of parameters) weights.set(name, (await backend.read(tensor)).data as Float32Array);
    return weights;
  };
  try {
    const { losses } = await train({ backend, segments, parameters, trainable: new Set(parameters.keys()), batches: batches(), ...settings(6), onStep: (report) => reports.push(report), ...options });
    return { losses, reports, weights: await read() };
  } catch (error) {
    outcome.weights = await read();
    throw error;
  } finally {
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  }
}

async function problem(work: Promise<unknown>): Promise<string> {
  const { code, message } = await failure(work);
  return `${code} ${message}`;
}

describe('train', () => {
  it('learns a few rows by heart and says how it goes', async () => {
    const { losses, reports } = await run({ steps: 25, schedule: schedule({ rate: 0.02, warmup: 3, steps: 25 }) });
    expect(losses).toHaveLength(25);
    expect(losses[0]).toBeGreaterThan(4);
    expect(losses.at(-1)).toBeLessThan(0.2);
    expect(reports.map(({ step }) => step)).toEqual(losses.map((_, index) => index + 1));
    expect(reports[0]).toMatchObject({ steps: 25, loss: losses[0], tokens: 48, learningRate: 0.02 / 3 });
    expect(reports[0]!.gradientNorm).toBeGreaterThan(0);
  });

  it('repeats bit for bit, however blocks are computed, and to rounding in smaller batches', async () => {
    const first = await run({});
    expect((await run({})).weights).toEqual(first.weights);
    const whole = await run({ recompute: false });
    for (const [index, loss] of first.losses.entries()) expect(whole.losses[index]).toBeCloseTo(loss, 3);
    const small = await run({ batches: batches(1) });
    for (const [index, loss] of first.losses.entries()) expect(small.losses[index]).toBeCloseTo(loss, 3);
  });

  it('goes on from a checkpoint to the same weights', async () => {
    const files = memoryFiles();
    const checkpoint = { path: '/run/checkpoint.safetensors', files, identity: 'test', every: 2, resume: true };
    const uninterrupted = await run({});
    const killed = run({
      checkpoint,
      onStep: ({ step }) => {
        if (step === 3) throw new Error('killed');
      },
    });
    await expect(killed).rejects.toThrow('killed');
    const resumed: number[] = [];
    // A signal leaves time to write one more: of step 4, where step 2's was the last.
    const abort = new AbortController();
    const stopped = run({
      checkpoint: { ...checkpoint, every: 100 },
      signal: abort.signal,
      onStep: ({ step }) => {
        resumed.push(step);
        if (step === 4) abort.abort();
      },
    });
    expect(await problem(stopped)).toMatch(/^PARE_ABORTED/);
    const { losses, weights } = await run({ checkpoint, onStep: ({ step }) => resumed.push(step) });
    expect(resumed).toEqual([3, 4, 5, 6]);
    expect(losses).toEqual(uninterrupted.losses);
    expect(weights).toEqual(uninterrupted.weights);
    expect((await files.list('/run')).map(({ name }) => name)).toEqual(['checkpoint.safetensors']);
    // A finished run has nothing left to do.
    expect((await run({ checkpoint })).weights).toEqual(uninterrupted.weights);
    expect(await problem(run({ checkpoint: { ...checkpoint, identity: 'another' } }))).toMatch(/PARE_RESUME_MISMATCH .*of test; this is another/);
  });

  it('writes one after the first step when not told how often', async () => {
    const files = memoryFiles();
    const checkpoint = { path: '/run/checkpoint.safetensors', files, identity: 'test', resume: true };
    const found: number[] = [];
    await run({ checkpoint, onStep: () => void files.status(checkpoint.path).then((status) => found.push(status?.modified ?? 0)) });
    expect(found).toHaveLength(6);
    expect(new Set(found.slice(0, 5)).size).toBe(1);
  });

  it('keeps the earlier checkpoint when writing one fails', async () => {
    const files = memoryFiles();
    const checkpoint = { path: '/run/checkpoint.safetensors', files, identity: 'test', every: 2, resume: false };
    await run({ steps: 2, checkpoint });
    const before = (await files.status(checkpoint.path))!.bytes;
    const broken = new Proxy(files, {
      get: (target, key) => {
        if (key === 'rename') return () => Promise.reject(new Error('no power'));
        const value = target[key as keyof FileSystem];
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    await expect(run({ steps: 2, checkpoint: { ...checkpoint, files: broken } })).rejects.toThrow('no power');
    expect((await files.status(checkpoint.path))!.bytes).toBe(before);
    expect((await run({ steps: 2, checkpoint: { ...checkpoint, resume: true } })).losses).toHaveLength(2);
  });

  it('stops before it uses numbers that are not finite, and keeps the last good step', async () => {
    const files = memoryFiles();
    const checkpoint = { path: '/run/checkpoint.safetensors', files, identity: 'test', every: 100, resume: false };
    const outcome: { weights?: ReadonlyMap<string, Float32Array> } = {};
    const wild = schedule({ rate: 1e25, decay: 'constant', warmup: 0, steps: 6 });
    const message = await problem(run({ schedule: wild, checkpoint }, undefined, outcome));
    expect(message).toMatch(/^PARE_TRAINING_DIVERGED training stopped at step 2 with a loss of /);
    const kept = await run({ steps: 1, checkpoint: { ...checkpoint, resume: true } });
    expect(kept.losses).toHaveLength(1);
    expect(outcome.weights).toEqual(kept.weights);
  });

  it('says when the first step is broken already', async () => {
    const spoilt = run({}, (parameters) => {
      const name = 'model.norm.weight';
      const shape = parameters.get(name)!.shape;
      parameters.get(name)![Symbol.dispose]();
      parameters.set(name, backend.write({ dtype: 'float32', shape, data: new Float32Array(shape[0]!).fill(NaN) }));
    });
    expect(await problem(spoilt)).toBe('PARE_TRAINING_DIVERGED training stopped at step 1 with a loss of NaN; the very first step: weights, data or loss are out of range');
  });
});

describe('LoRA', () => {
  const adapters = (): Map<string, Adapter> => new Map(model.modules.filter(({ kind }) => kind === 'linear').map(({ name }) => [`${name}.weight`, lora({ rank: 2, alpha: 4 })]));

  it('trains adapters alone, and merges into what it trained', async () => {
    const segments = segmentsOf(adapters());
    const parameters = await loadParameters(backend, model, segments);
    const before = await backend.read(parameters.get('model.layers.0.mlp.up_proj.weight')!);
    for (const [name, tensor] of createAdapterParameters(backend, segments, adapters(), 7)) parameters.set(name, tensor);
    const trainable = adapterNames(segments);
    expect(trainable.size).toBe(2 * adapters().size);
    const { losses } = await train({ backend, segments, parameters, trainable, batches: batches(), ...settings(12), schedule: schedule({ rate: 0.05, steps: 12 }) });
    expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
    expect(await backend.read(parameters.get('model.layers.0.mlp.up_proj.weight')!)).toEqual(before);

    const [batch] = [...(batches()(0) as Iterable<Batch>)];
    const adapted = await lossOf(segments, parameters);
    const plain = segmentsOf();
    for (const [name, adapter] of adapters()) {
      const merged = await mergeAdapter(backend, name, adapter, parameters);
      parameters.get(name)![Symbol.dispose]();
      parameters.set(name, merged);
    }
    expect(Math.abs((await lossOf(plain, parameters)) - adapted)).toBeLessThan(1e-5);
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();

    async function lossOf(used: readonly Segment[], values: ReadonlyMap<string, DeviceTensor>): Promise<number> {
      await using decoder = new DecoderGradients({ backend, segments: used, parameters: values, trainable: new Set(), recompute: true });
      return (await decoder.loss(batch!)).loss;
    }
  });

  it('starts from the model, with values that the seed decides', async () => {
    await using reference = await referenceBackend.create({}, { log: console });
    const segments = segmentsOf(adapters());
    const [first, second, other] = [7, 7, 8].map((seed) => createAdapterParameters(reference, segments, adapters(), seed));
    const name = 'model.layers.1.self_attn.q_proj.weight';
    const values = async (from: Map<string, DeviceTensor> | undefined, suffix: string): Promise<unknown> => (await reference.read(from!.get(name + suffix)!)).data;
    expect(await values(first, '.lora_A')).toEqual(await values(second, '.lora_A'));
    expect(await values(first, '.lora_A')).not.toEqual(await values(other, '.lora_A'));
    expect((await values(first, '.lora_B')) as Float32Array).toEqual(new Float32Array(64 * 2));
    expect(() => lora({ rank: 0, alpha: 1 })).toThrow('rank is 0');
    for (const created of [first, second, other]) for (const tensor of created!.values()) tensor[Symbol.dispose]();
  });
});
