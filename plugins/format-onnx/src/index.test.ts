import {
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
import { OnnxDecoder } from '@pare/onnx-decoder';
import { formatContext } from '@pare/testkit';
import { denseWeight, factorizedWeight, quantizeMatrix } from '@pare/weights';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { onnxFormat, onnxOptions, type OnnxOptions } from './index.js';

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
  return formatContext({ model, options: { ...onnxOptions.parse({}), ...options }, directory, backend, log: console });
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

async function openDecoder({ description: { vocabularySize, maxPositions } }: Model, file: string): Promise<OnnxDecoder> {
  return OnnxDecoder.open(await import('onnxruntime-node'), { file: join(directory, file), vocabularySize, maxPositions });
}

/** Largest difference between expected logits and those of a file: as one prompt, and as a prompt of 10 tokens with the rest one by one. */
async function compare(model: Model, file: string, ids: number[][], expected: readonly Float32Array[]): Promise<{ prompt: number; steps: number }> {
  const vocabulary = model.description.vocabularySize;
  await using decoder = await openDecoder(model, file);
  const { logits: prompt } = await decoder.run({ ids }, undefined);
  const whole = largestDifference(prompt, Float32Array.from(expected.flatMap((logits) => Array.from(logits))));
  const [start, length] = [10, ids[0]!.length];
  let { state } = await decoder.run({ ids: columns(ids, 0, start) }, undefined);
  let steps = 0;
  for (let position = start; position < length; position++) {
    const { logits, state: next } = await decoder.run({ ids: columns(ids, position, position + 1) }, state);
    state = next;
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

  // Half precision keeps 11 bits of every intermediate value; logits here go up to 3.
  it.each(fixtures)('writes %s in fp16 within the rounding of half precision', async (name) => {
    await using model = await openFixture(name);
    const golden = await readGolden(name);
    await write(model, { dtype: ['fp16'] });
    const { prompt, steps } = await compare(model, 'onnx/model_fp16.onnx', golden.ids, golden.logits);
    expect(prompt).toBeLessThan(0.01);
    expect(steps).toBeLessThan(0.01);
  });

  it.each(fixtures)('packs 4-bit weights of %s without changing them', async (name) => {
    await using model = await openFixture(name);
    const { ids } = await readGolden(name);
    const small = await quantized(model, blockLinears, { bits: 4, symmetric: true, groupSize: 32 });
    await write(small, { accuracyLevel: 0, experts: 'all' });
    const graph = await readOnnxFile(join(directory, 'onnx/model_q4.onnx'));
    const packed = graph.nodes.filter(({ operator }) => operator === 'MatMulNBits');
    expect(packed).toHaveLength(model.modules.filter(({ kind }) => kind === 'linear').length);
    const { prompt, steps } = await compare(small, 'onnx/model_q4.onnx', ids, await forward(small, ids));
    expect(prompt).toBeLessThan(1e-4);
    expect(steps).toBeLessThan(1e-4);
  });

  it.each([
    { bits: 2, symmetric: true, groupSize: 16, file: 'onnx/model_q2.onnx', blockSize: 16, width: 2 },
    { bits: 3, symmetric: false, groupSize: 32, file: 'onnx/model_q4.onnx', blockSize: 32, width: 4 },
    { bits: 4, symmetric: false, groupSize: -1, file: 'onnx/model_q4.onnx', blockSize: 128, width: 4 },
    { bits: 4, symmetric: true, groupSize: 48, file: 'onnx/model_q4.onnx', blockSize: 16, width: 4 },
    { bits: 5, symmetric: true, groupSize: 64, file: 'onnx/model_quantized.onnx', blockSize: 64, width: 8 },
    { bits: 8, symmetric: false, groupSize: 32, file: 'onnx/model_quantized.onnx', blockSize: 32, width: 8 },
  ])('packs $bits bits in groups of $groupSize into blocks', async ({ file, blockSize, width, ...scheme }) => {
    await using model = await openFixture('llama');
    const { ids } = await readGolden('llama');
    const small = await quantized(model, blockLinears, scheme);
    const files = await write(small, { accuracyLevel: 0 });
    expect(files.map(({ path }) => path)).toContain(file);
    const graph = await readOnnxFile(join(directory, file));
    const down = graph.nodes.find(({ inputs }) => inputs.includes('model.layers.0.mlp.down_proj.MatMulNBits.weight'));
    expect(down?.attributes).toMatchObject({ bits: width, block_size: blockSize, K: 128, N: 64 });
    const { prompt, steps } = await compare(small, file, ids, await forward(small, ids));
    expect(Math.max(prompt, steps)).toBeLessThan(1e-4);
    await expect(onnxFormat.verify(contextOf(small, { accuracyLevel: 0 }), files)).resolves.toMatchObject({ largestDifference: 0 });
  });

  it.each([
    { bits: 4, symmetric: true, groupSize: 32 },
    { bits: 4, symmetric: false, groupSize: 16 },
    { bits: 8, symmetric: false, groupSize: 32 },
  ])('shares the bytes of a quantized embedding with a tied head: $bits bits, symmetric $symmetric', async (scheme) => {
    await using model = await openFixture('qwen2');
    const { ids } = await readGolden('qwen2');
    const small = await quantized(model, (name) => name === 'model.embed_tokens', scheme);
    const files = await write(small, { accuracyLevel: 0 });
    const { path } = files[0]!;
    const graph = await readOnnxFile(join(directory, path));
    const [lookUp, head] = ['GatherBlockQuantized', 'MatMulNBits'].map((operator) => graph.nodes.find((node) => node.operator === operator));
    expect(lookUp?.inputs[0]).toBe('model.embed_tokens.MatMulNBits.weight');
    expect(head?.inputs[1]).toBe(lookUp?.inputs[0]);
    expect([...graph.initializers.keys()].filter((name) => /^lm_head|embed_tokens\.weight/.test(name))).toEqual([]);
    const { prompt, steps } = await compare(small, path, ids, await forward(small, ids));
    expect(Math.max(prompt, steps)).toBeLessThan(1e-4);
    await expect(onnxFormat.verify(contextOf(small, { accuracyLevel: 0 }), files)).resolves.toMatchObject({ largestDifference: 0 });
  });

  it('stores a tied dense embedding once', async () => {
    await using model = await openFixture('qwen2');
    await write(model);
    const graph = await readOnnxFile(join(directory, 'onnx/model.onnx'));
    const tables = [...graph.initializers].filter(([, { shape }]) => shape.includes(160));
    expect(tables.map(([name]) => name)).toEqual(['model.embed_tokens.weight']);
    expect(graph.nodes.filter(({ inputs }) => inputs.includes('model.embed_tokens.weight')).map(({ operator }) => operator)).toEqual(['Gather', 'Gemm']);
  });

  it('names inputs and outputs as transformers.js expects them', async () => {
    await using model = await openFixture('llama');
    await write(model, { dtype: ['fp16'] });
    const graph = await readOnnxFile(join(directory, 'onnx/model_fp16.onnx'));
    expect(graph.inputs.map(({ name, dtype, shape }) => `${name} ${dtype} ${String(shape)}`)).toEqual([
      'input_ids int64 batch_size,sequence_length',
      'attention_mask int64 batch_size,total_sequence_length',
      'position_ids int64 batch_size,sequence_length',
      ...[0, 1].flatMap((block) => ['key', 'value'].map((part) => `past_key_values.${String(block)}.${part} float16 batch_size,2,past_sequence_length,16`)),
    ]);
    expect(graph.outputs.map(({ name, dtype }) => `${name} ${dtype}`)).toEqual([
      'logits float32',
      ...[0, 1].flatMap((block) => ['key', 'value'].map((part) => `present.${String(block)}.${part} float16`)),
    ]);
  });

  it.each(['llama', 'gemma2', 'opt', 'gpt_neox', 'mistral'])('lets texts of %s in a batch be padded on the left', async (name) => {
    await using model = await openFixture(name);
    const golden = await readGolden(name);
    await write(model);
    await using decoder = await openDecoder(model, 'onnx/model.onnx');
    const ids = golden.ids as [number[], number[]];
    const short = ids[1].slice(0, 15);
    const padding = Array.from({ length: 24 - short.length }, () => 0);
    const { logits } = await decoder.run({ ids: [ids[0], [...padding, ...short]], padding: [0, padding.length] }, undefined);
    const vocabulary = model.description.vocabularySize;
    expect(largestDifference(logits.subarray(0, 24 * vocabulary), golden.logits[0]!)).toBeLessThan(1e-4);
    const [alone] = await forward(model, [short]);
    expect(largestDifference(logits.subarray((24 + padding.length) * vocabulary), alone!)).toBeLessThan(1e-4);
  });

  it('runs experts on their own tokens or on all, with the same result', async () => {
    await using model = await openFixture('qwen3_moe');
    const golden = await readGolden('qwen3_moe');
    for (const experts of ['routed', 'all'] as const) {
      await write(model, { experts });
      const { prompt, steps } = await compare(model, 'onnx/model.onnx', golden.ids, golden.logits);
      expect(Math.max(prompt, steps)).toBeLessThan(1e-4);
    }
  });

  it('moves weights to data files where one file would be too large, and says so', async () => {
    await using model = await openFixture('llama');
    const golden = await readGolden('llama');
    const context = contextOf(model, { maximumFileBytes: 100_000 });
    const files = await onnxFormat.write(context);
    const data = files.filter(({ path }) => path.includes('_data'));
    expect(data.map(({ path }) => path)).toEqual(['', '_1', '_2', '_3', '_4'].map((suffix) => `onnx/model.onnx_data${suffix}`));
    expect(Math.max(...data.map(({ bytes }) => bytes))).toBeLessThanOrEqual(100_000);
    const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config['transformers.js_config']).toEqual({ dtype: 'fp32', use_external_data_format: { 'model.onnx': 5 } });
    const { prompt } = await compare(model, 'onnx/model.onnx', golden.ids, golden.logits);
    expect(prompt).toBeLessThan(1e-4);
    await expect(onnxFormat.verify(context, files)).resolves.toMatchObject({ largestDifference: 0 });
  });

  describe('verify', () => {
    it.each(['fp32', 'fp16', 'q4', 'q4f16'] as const)('accepts what was written in %s', async (dtype) => {
      await using model = await openFixture('gemma2');
      const small = await quantized(model, blockLinears, { bits: 4, symmetric: true, groupSize: 16 });
      const context = contextOf(small, { dtype: [dtype] });
      const files = await onnxFormat.write(context);
      const { tensors, largestDifference: difference } = await onnxFormat.verify(context, files);
      expect(tensors).toBe(model.tensors.length);
      expect(difference).toBeLessThan(dtype.endsWith('f16') || dtype === 'fp16' ? 2e-3 : 1e-12);
    });

    it('finds a byte that changed on disk', async () => {
      await using model = await openFixture('llama');
      const context = contextOf(await quantized(model, blockLinears, { bits: 4, symmetric: true, groupSize: 32 }));
      const files = await onnxFormat.write(context);
      const path = join(directory, 'onnx/model_q4.onnx');
      const bytes = await readFile(path);
      const packed = bytes.lastIndexOf('model.layers.1.mlp.up_proj.MatMulNBits.weight');
      const handle = await open(path, 'r+');
      await handle.write(Uint8Array.of(bytes[packed + 500]! ^ 0x10), 0, 1, packed + 500);
      await handle.close();
      await expect(onnxFormat.verify(context, files)).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', message: expect.stringContaining('model.layers.1.mlp.up_proj') as string });
    });

    it('finds a graph that computes something else', async () => {
      await using model = await openFixture('mistral');
      const context = contextOf(model);
      const files = await onnxFormat.write(context);
      // The same weights under a configuration whose window is another one.
      const config = { ...model.config, sliding_window: 3 };
      const other: Model = Object.create(model, {
        description: { value: llamaArchitecture.describe(config) },
        denseWeight: { value: (name: string) => model.denseWeight(name) },
        tensor: { value: (name: string) => model.tensor(name) },
        weight: { value: (name: string) => model.weight(name) },
      }) as Model;
      await expect(onnxFormat.verify({ ...context, model: other }, files)).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', data: { tensor: 'logits' } });
    });
  });

  describe('beside the graph', () => {
    const json = async (name: string): Promise<Record<string, unknown>> => JSON.parse(await readFile(join(directory, name), 'utf8')) as Record<string, unknown>;

    it('writes configuration and generation defaults', async () => {
      await using model = await openFixture('llama');
      const packed: Model = Object.create(model, { config: { value: { ...model.config, quantization_config: { quant_method: 'compressed-tensors' } } } }) as Model;
      await write(
        Object.assign(packed, {
          denseWeight: (name: string) => model.denseWeight(name),
          tensor: (name: string) => model.tensor(name),
          weight: (name: string) => model.weight(name),
        }),
        { dtype: ['fp32', 'fp16'] },
      );
      const config = await json('config.json');
      expect(config).toMatchObject({ model_type: 'llama', 'transformers.js_config': { dtype: 'fp32' } });
      expect(config).not.toHaveProperty('quantization_config');
      expect(await json('generation_config.json')).toEqual(JSON.parse(await readFile(`${folder('llama')}/generation_config.json`, 'utf8')));
    });

    it("sets its key in another format's configuration and leaves other files alone", async () => {
      await using model = await openFixture('llama');
      await writeFile(join(directory, 'config.json'), JSON.stringify({ model_type: 'llama', quantization_config: { kept: true }, 'transformers.js_config': { use_external_data_format: { model: 2 } } }));
      await writeFile(join(directory, 'generation_config.json'), '{"temperature":0.5}');
      const files = await write(model);
      expect(await json('config.json')).toEqual({ model_type: 'llama', quantization_config: { kept: true }, 'transformers.js_config': { dtype: 'fp32' } });
      expect(await json('generation_config.json')).toEqual({ temperature: 0.5 });
      expect(files.map(({ path }) => path).sort()).toEqual(['config.json', 'onnx/model.onnx']);
    });
  });

  describe('refuse', () => {
    const plan = (module: string, change: Partial<ModulePlan> = {}): ModulePlan => ({
      module,
      produces: 'quantized',
      storedBits: 0,
      bits: 4,
      groupSize: 32,
      symmetric: true,
      groupIndex: false,
      flops: 0,
      workingBytes: 0,
      ...change,
    });
    const module = 'model.layers.0.mlp.up_proj';

    it('names what cannot be packed, and the way out', async () => {
      await using model = await openFixture('llama');
      const refusals = (change: Partial<ModulePlan>, dtype: OnnxOptions['dtype'] = ['auto']): readonly string[] =>
        onnxFormat.refuse(model, new Map([[module, plan(module, change)]]), onnxOptions.parse({ dtype })).map((refusal) => `${refusal.module}: ${refusal.reason}`);
      expect(refusals({})).toEqual([]);
      expect(refusals({ groupSize: -1 })).toEqual([]);
      expect(refusals({ groupSize: 48 })).toEqual([]);
      expect(refusals({ groupSize: 8 })).toEqual([expect.stringContaining(`${module}: groups of 8 inputs`)]);
      expect(refusals({ groupIndex: true })).toEqual([expect.stringContaining('grouped in another order')]);
      expect(refusals({ groupIndex: true, groupSize: 8 }, ['fp32', 'fp16'])).toEqual([]);
    });

    it('refuses a packed file of a model without quantized modules', async () => {
      await using model = await openFixture('llama');
      const options = onnxOptions.parse({ dtype: ['q4'] });
      expect(onnxFormat.refuse(model, new Map(), options)).toEqual([expect.objectContaining({ module: 'all', help: expect.stringContaining('fp32') as string })]);
      expect(onnxFormat.refuse(model, new Map(), onnxOptions.parse({}))).toEqual([]);
    });
  });

  describe('factorized weights', () => {
    const rank = 32;

    /** The linear layers of the blocks as products, of codes in groups of 16 where `codes` says so. */
    async function factorized(model: Model, codes: 'none' | 'left' | 'both'): Promise<Model> {
      const replaced = new Map<string, () => Promise<WeightForm>>();
      const quantize = (data: Float32Array, shape: readonly [number, number]): QuantizedWeight => quantizeMatrix(data, shape, { bits: 4, symmetric: true, groupSize: 16 }, 'float32');
      for (const { name, kind } of model.modules) {
        if (kind !== 'linear') continue;
        const { data, shape } = await model.denseWeight(name);
        const [rows, columns] = shape as [number, number];
        // The first columns, times a matrix that keeps them and makes the others of them.
        const left = Float32Array.from({ length: rows * rank }, (_, index) => data[Math.floor(index / rank) * columns + (index % rank)]!);
        const right = Float32Array.from({ length: rank * columns }, (_, index) => (Math.floor(index / columns) === index % columns ? 1 : Math.sin(index) / rank));
        const form = factorizedWeight(
          codes === 'none' ? denseWeight(left, [rows, rank], 'float32') : quantize(left, [rows, rank]),
          codes === 'both' ? quantize(right, [rank, columns]) : denseWeight(right, [rank, columns], 'float32'),
        );
        replaced.set(name, () => Promise.resolve(form));
      }
      const summaries = new Map([...replaced.keys()].map((name) => [name, { produces: 'factorized' as const, storedBits: 0, rank }]));
      return overlayModel(model, replaced, summaries);
    }

    it.each([
      ['llama', 'none', 'onnx/model.onnx'],
      ['gpt2', 'none', 'onnx/model.onnx'],
      ['qwen3_moe', 'none', 'onnx/model.onnx'],
      ['llama', 'left', 'onnx/model_q4.onnx'],
      ['gpt2', 'both', 'onnx/model_q4.onnx'],
    ] as const)('of %s, codes in %s, run as two products', async (name, codes, file) => {
      await using model = await openFixture(name);
      const { ids } = await readGolden(name);
      const small = await factorized(model, codes);
      const files = await write(small, { accuracyLevel: 0, experts: 'all' });
      const graph = await readOnnxFile(join(directory, file));
      const linears = model.modules.filter(({ kind }) => kind === 'linear').length;
      expect(graph.nodes.filter(({ operator }) => operator === 'MatMulNBits')).toHaveLength(codes === 'none' ? 0 : codes === 'left' ? linears : 2 * linears);
      expect([...graph.initializers.keys()].filter((tensor) => /\.(left|right)\.MatMul(NBits)?\.weight$/.test(tensor))).toHaveLength(2 * linears);
      const { prompt, steps } = await compare(small, file, ids, await forward(small, ids));
      expect(Math.max(prompt, steps)).toBeLessThan(1e-4);
      await expect(onnxFormat.verify(contextOf(small, { accuracyLevel: 0, experts: 'all' }), files)).resolves.toMatchObject({ largestDifference: 0 });
    });

    it('take less room than the matrices', async () => {
      await using model = await openFixture('llama');
      const bytes = (files: readonly WrittenFile[]): number => files.find(({ path }) => path === 'onnx/model.onnx')!.bytes;
      const whole = bytes(await write(model));
      await rm(join(directory, 'onnx'), { recursive: true });
      const weights = model.modules.filter(({ kind }) => kind === 'linear').reduce((sum, { shape: [rows, columns] }) => sum + rows * columns - rank * (rows + columns), 0);
      const factors = bytes(await write(await factorized(model, 'none')));
      // Names and nodes of the second product take a few hundred bytes.
      expect(Math.abs(whole - factors - 4 * weights)).toBeLessThan(400 * model.modules.length);
    });

    it('are refused where tokens are looked up, and where codes fit no block', async () => {
      await using model = await openFixture('llama');
      const plan = (module: string, change: Partial<ModulePlan>): ModulePlan => ({ module, produces: 'factorized', storedBits: 0, rank: 24, flops: 0, workingBytes: 0, ...change });
      const reasons = (module: string, change: Partial<ModulePlan>): readonly string[] =>
        onnxFormat.refuse(model, new Map([[module, plan(module, change)]]), onnxOptions.parse({})).map(({ reason }) => reason);
      const up = 'model.layers.0.mlp.up_proj';
      expect(reasons('model.embed_tokens', {})).toEqual([expect.stringMatching(/factorized embedding/)]);
      expect(reasons(up, {})).toEqual([]);
      expect(reasons(up, { bits: 4, groupSize: 24 })).toEqual([expect.stringMatching(/groups of 24 inputs/)]);
      expect(reasons(up, { bits: 4, groupSize: 64 })).toEqual([]);
      const table = model.modules.find(({ kind }) => kind === 'embedding')!;
      const form = factorizedWeight(denseWeight(new Float32Array(table.shape[0]), [table.shape[0], 1], 'float32'), denseWeight(new Float32Array(table.shape[1]), [1, table.shape[1]], 'float32'));
      const small = overlayModel(model, new Map([[table.name, () => Promise.resolve(form)]]), new Map([[table.name, plan(table.name, {})]]));
      await expect(write(small)).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED' });
    });
  });

  it('refuses weights that are grouped out of order when it meets them', async () => {
    await using model = await openFixture('llama');
    const name = 'model.layers.0.mlp.up_proj';
    const { data, shape } = await model.denseWeight(name);
    const weight: QuantizedWeight = quantizeMatrix(data, shape as [number, number], { bits: 4, symmetric: true, groupSize: 32, granularity: 'group', clip: 'minmax' }, 'float32');
    const shuffled = { ...weight, groupIndex: Int32Array.from({ length: 64 }, (_, column) => column % 2) };
    const small = overlayModel(model, new Map([[name, () => Promise.resolve(shuffled)]]));
    await expect(write(small)).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED' });
  });

  it('refuses to write numbers that half precision cannot hold', async () => {
    await using model = await openFixture('llama');
    const name = 'model.layers.0.mlp.up_proj';
    const tensor: HostTensor = float32Tensor([128, 64]);
    tensor.data[77] = 1e5;
    const large = overlayModel(model, new Map([[name, () => Promise.resolve({ form: 'dense' as const, shape: tensor.shape, tensor })]]), new Map([[name, { produces: 'dense', storedBits: 0 }]]));
    const error: unknown = await write(large, { dtype: ['fp16'] }).catch((reason: unknown) => reason);
    expect(isPareError(error) && error.code).toBe('PARE_FLOAT16_OVERFLOW');
  });
});
