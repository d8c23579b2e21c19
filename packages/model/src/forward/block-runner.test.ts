import { createRandom, isPareError, type Backend, type GramMatrix, type HostTensor, type InputQuantization, type Model, type StatisticRef, type WeightForm } from '@pare/core';
import { gptNeoxArchitecture } from '@pare/architecture-gpt-neox';
import { gpt2Architecture } from '@pare/architecture-gpt2';
import { llamaArchitecture } from '@pare/architecture-llama';
import { optArchitecture } from '@pare/architecture-opt';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { referenceBackend } from '@pare/backend-reference';
import { webgpuBackend } from '@pare/backend-webgpu';
import { quantizeMatrix } from '@pare/weights';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openModel, overlayModel } from '../open/index.js';
import { absMaxStatistic, absMeanStatistic, defineStatistic, gramStatistic, squareSumStatistic } from '../statistics/index.js';
import { SafetensorsFile } from '../store/index.js';
import { createBlockRunner, type BlockRunnerOptions } from './block-runner.js';
import { greedyGenerate } from './generate.js';
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

/** Hidden states after the model's final norm, computed here. */
async function finalNorm(model: Model, states: Float32Array): Promise<Float32Array> {
  const { finalNorm: norm, hiddenSize } = model.description;
  const weight = (await model.tensor(`${norm.module}.weight`)).data as Float32Array;
  const bias = norm.bias ? ((await model.tensor(`${norm.module}.bias`)).data as Float32Array) : undefined;
  const result = new Float32Array(states.length);
  for (let start = 0; start < states.length; start += hiddenSize) {
    const row = states.subarray(start, start + hiddenSize);
    const mean = norm.kind === 'layer' ? row.reduce((sum, value) => sum + value, 0) / hiddenSize : 0;
    const root = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / hiddenSize + norm.epsilon);
    row.forEach((value, index) => (result[start + index] = ((value - mean) / root) * (weight[index]! + norm.weightOffset) + (bias?.[index] ?? 0)));
  }
  return result;
}

async function values(hidden: HiddenStates): Promise<Float32Array> {
  return joined(await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk))));
}

/** Windows of random tokens. */
function randomWindows(count: number, length: number, vocabulary = 160, seed = 1): Int32Array[] {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => Int32Array.from({ length }, () => Math.floor(random() * vocabulary)));
}

describe.each([
  { id: 'reference', create: () => referenceBackend.create({}, { log: console }) },
  { id: 'cpu', create: () => cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }) },
  // Absent only on machines without a driver, as the test configuration found out.
  ...(process.env['PARE_WEBGPU'] === 'absent' ? [] : [{ id: 'webgpu', create: () => webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log: console }) }]),
])('createBlockRunner on the $id backend', ({ create }) => {
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

  const open = (name: string): Promise<Model> => openModel(folder(name), { architectures });

  /** Hidden states after all blocks, flattened. */
  async function run(model: Model, windows: readonly Int32Array[], options: Partial<BlockRunnerOptions> = {}): Promise<Float32Array> {
    await using runner = createBlockRunner({ model, backend, ...options });
    await using hidden = await runner.embed(windows);
    for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
    return await values(hidden);
  }

  it.each(fixtures)('reproduces hidden states and logits of %s', async (name) => {
    await using model = await open(name);
    const { blocks } = model.description;
    const golden = await readGolden(name, blocks.length);
    await using runner = createBlockRunner({ model, backend });
    await using hidden = await runner.embed(golden.windows);
    expect(largestDifference(await values(hidden), golden.hidden[0]!)).toBeLessThan(1e-4);
    for (const block of blocks.keys()) {
      await runner.advance(block, hidden);
      const states = await values(hidden);
      const last = block + 1 === blocks.length;
      expect(largestDifference(last ? await finalNorm(model, states) : states, golden.hidden[block + 1]!)).toBeLessThan(1e-4);
    }
    expect(largestDifference(joined(await runner.logits(hidden)), golden.logits)).toBeLessThan(1e-4);
  });

  // Attention over long windows is cut into runs of queries; a shorter window is cut elsewhere and must give the same states.
  it.each(['mistral', 'gemma2', 'gpt_neox'])('gives the start of a long window of %s the states of a short one', async (name) => {
    await using model = await open(name);
    const size = model.description.hiddenSize;
    const length = Math.min(300, model.description.maxPositions * 2);
    const [window] = randomWindows(1, length);
    const long = await run(model, [window!]);
    for (const shorter of [24, 128, 131]) {
      const short = await run(model, [window!.subarray(0, shorter)]);
      expect(largestDifference(short, long.subarray(0, shorter * size))).toBeLessThan(1e-4);
    }
  });

  it('gives the same states whatever the chunks are and wherever they wait', async () => {
    await using model = await open('llama');
    const windows = [...randomWindows(3, 20), ...randomWindows(2, 7), ...randomWindows(1, 20, 160, 2)];
    const whole = await run(model, windows);
    expect(await run(model, windows, { chunkTokens: 1 })).toEqual(whole);
    expect(await run(model, windows, { chunkTokens: 40, spillBytes: 0 })).toEqual(whole);
  });

  it('keeps one chunk of spilled states on the device at a time', async () => {
    await using model = await open('llama');
    await using runner = createBlockRunner({ model, backend, chunkTokens: 20, spillBytes: 0 });
    await using hidden = await runner.embed(randomWindows(5, 20));
    expect([hidden.spilled, hidden.chunks.length, hidden.tokens, backend.memory().tensors]).toEqual([true, 5, 100, 0]);
    await hidden.use(3, (tensor) => {
      expect([tensor.shape, backend.memory().tensors]).toEqual([[1, 20, 64], 1]);
      return Promise.resolve();
    });
  });

  it('streams the likelihood in slices of the vocabulary', async () => {
    for (const name of ['gemma2', 'opt', 'llama']) {
      await using model = await open(name);
      const windows = randomWindows(3, 16);
      await using runner = createBlockRunner({ model, backend, chunkTokens: 32 });
      await using sliced = createBlockRunner({ model, backend, logitsBytes: 32 * 4 * 2 * 33 });
      await using spilling = createBlockRunner({ model, backend, chunkTokens: 16, spillBytes: 2 * 16 * 64 * 4 });
      await using spilled = await spilling.embed(windows);
      expect(spilled.groups()).toEqual([[0, 1], [2]]);
      await using hidden = await runner.embed(windows);
      for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
      const logits = joined(await runner.logits(hidden));
      const expected = windows.map((ids, window) =>
        Float64Array.from({ length: ids.length - 1 }, (_, position) => {
          const row = logits.subarray((window * ids.length + position) * 160, (window * ids.length + position + 1) * 160);
          return Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - row[ids[position + 1]!]!;
        }),
      );
      for (const block of model.description.blocks.keys()) await spilling.advance(block, spilled);
      for (const losses of [
        await runner.negativeLogLikelihood(hidden, windows),
        await sliced.negativeLogLikelihood(hidden, windows),
        await spilling.negativeLogLikelihood(spilled, windows),
      ]) {
        expect(losses.map(({ length }) => length)).toEqual([15, 15, 15]);
        losses.forEach((values, window) => {
          values.forEach((value, position) => {
            expect(value).toBeCloseTo(expected[window]![position]!, 5);
          });
        });
      }
    }
  });

  it('continues a text greedily', async () => {
    await using model = await open('llama');
    const text = await greedyGenerate(model, backend, [5, 17, 42], 3);
    for (let length = 3; length < 6; length++) {
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed([text.subarray(0, length)]);
      for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
      const scores = Array.from(joined(await runner.logits(hidden)).subarray((length - 1) * 160));
      expect(text[length]).toBe(scores.indexOf(Math.max(...scores)));
    }
  });

  it('refuses tokens and windows that the model has no rows for', async () => {
    await using llama = await open('llama');
    await using gpt2 = await open('gpt2');
    const code = (model: Model, window: Int32Array): Promise<unknown> => run(model, [window]).catch((error: unknown) => (isPareError(error) ? error.code : error));
    expect(await code(llama, Int32Array.of(3, 160))).toBe('PARE_TOKEN_OUT_OF_RANGE');
    expect(await code(gpt2, new Int32Array(129))).toBe('PARE_WINDOW_TOO_LONG');
  });

  it('takes weights from an overlay', async () => {
    await using model = await open('llama');
    const name = 'model.layers.1.mlp.down_proj';
    const dense = await model.denseWeight(name);
    const halved = overlayModel(
      model,
      new Map([[name, () => Promise.resolve({ form: 'dense' as const, shape: dense.shape, tensor: { ...dense, data: dense.data.map((value) => value / 2) } })]]),
    );
    const windows = randomWindows(1, 8);
    await using runner = createBlockRunner({ model, backend });
    await using hidden = await runner.embed(windows);
    await runner.advance(0, hidden);
    const before = await values(hidden);
    await runner.advance(1, hidden, halved);
    const changed = await values(hidden);
    const plain = await run(model, windows);
    expect(largestDifference(changed, plain)).toBeGreaterThan(1e-3);
    // down projection is the last, linear step of the block: halving it takes away half of what the MLP added.
    expect(largestDifference(changed, before)).toBeLessThan(largestDifference(plain, before) + 1e-6);
  });

  describe('with rounded inputs', () => {
    const token: InputQuantization = { bits: 8, symmetric: true, granularity: 'token', dynamic: true };
    const still: InputQuantization = { bits: 8, symmetric: true, granularity: 'tensor', dynamic: false, scale: 0.004 };
    const shifted: InputQuantization = { ...still, symmetric: false, zero: 25 };
    const down = 'model.layers.1.mlp.down_proj';
    const gate = 'model.layers.1.mlp.gate_proj';

    /** The model with the inputs of some modules rounded and their weights at 8 bits. */
    async function rounded(model: Model, inputs: Readonly<Record<string, InputQuantization>>): Promise<Model> {
      const forms = new Map<string, WeightForm>();
      for (const [name, input] of Object.entries(inputs)) {
        const { data, shape } = await model.denseWeight(name);
        forms.set(name, { ...quantizeMatrix(data, shape as [number, number], { bits: 8, symmetric: true }, 'float32'), input });
      }
      const summaries = new Map(Object.entries(inputs).map(([name, { bits, symmetric, granularity, dynamic }]) => [name, { produces: 'quantized' as const, storedBits: 8, input: { bits, symmetric, granularity, dynamic } }]));
      return overlayModel(model, new Map([...forms].map(([name, form]) => [name, () => Promise.resolve(form)])), summaries);
    }

    /** The input of a module that one token gives, as calibration sees it. */
    const onlyRow = defineStatistic<Float32Array>({
      id: 'only-row',
      state: (size) => [{ dtype: 'float32', shape: [1, size] }],
      accumulate: (builder, rows, [sum]) => [builder.add(sum!, rows)],
      finish: async (state, context) => (await context.backend.read(state[0]!)).data as Float32Array,
    });

    /** Hidden states behind block 1 and the input of its down projection, with block 1's weights of another model. */
    async function secondBlock(model: Model, source: Model): Promise<{ input: Float32Array; output: Float32Array }> {
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed([Int32Array.of(7)]);
      await runner.advance(0, hidden);
      using collected = await runner.collect(1, hidden, [{ module: down, statistics: [onlyRow] }], source);
      await runner.advance(1, hidden, source);
      return { input: collected.get(down, onlyRow), output: await values(hidden) };
    }

    it.each([
      ['token', token],
      ['tensor', still],
      ['tensor with a zero point', shifted],
    ])('multiplies what is left of them: %s', async (_, input) => {
      await using model = await open('llama');
      const source = await rounded(model, { [down]: input });
      const plain = await secondBlock(model, model);
      const found = await secondBlock(model, source);
      // Calibration sees inputs before the layer rounds them.
      expect(largestDifference(found.input, plain.input)).toBe(0);
      const scale = input.scale ?? Math.max(1e-5, plain.input.reduce((most, value) => Math.max(most, Math.abs(value)), 0)) / 127;
      const { zero = 0 } = input;
      const seen = plain.input.map((value) => (Math.min(127, Math.max(-128, Math.round(value / scale) + zero)) - zero) * scale);
      expect(largestDifference(seen, plain.input)).toBeGreaterThan(1e-4);
      // The down projection is the block's last step.
      const before = (await model.denseWeight(down)).data;
      const after = (await source.denseWeight(down)).data;
      const expected = plain.output.map((value, row) => seen.reduce((sum, x, column) => {
        const at = row * seen.length + column;
        return sum + x * after[at]! - plain.input[column]! * before[at]!;
      }, value));
      expect(largestDifference(found.output, expected)).toBeLessThan(1e-5);
      expect(largestDifference(found.output, plain.output)).toBeGreaterThan(1e-4);
    });

    it('shows later layers what earlier ones rounded', async () => {
      await using model = await open('llama');
      const source = await rounded(model, { [gate]: { ...still, scale: 0.1 } });
      expect(largestDifference((await secondBlock(model, source)).input, (await secondBlock(model, model)).input)).toBeGreaterThan(1e-3);
    });

    it('shares a graph between blocks with static scales of their own', async () => {
      await using model = await open('llama');
      const name = (block: number): string => `model.layers.${String(block)}.mlp.down_proj`;
      const both = await rounded(model, { [name(0)]: still, [name(1)]: { ...still, scale: 0.02 } });
      const windows = randomWindows(2, 6);
      const together = await run(both, windows);
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed(windows);
      for (const block of [0, 1]) await runner.advance(block, hidden, await rounded(model, { [name(block)]: { ...still, scale: block === 0 ? 0.004 : 0.02 } }));
      expect(largestDifference(await values(hidden), together)).toBeLessThan(1e-6);
    });

    it('gives a token the same states in whatever company', async () => {
      await using model = await open('llama');
      const source = await rounded(model, { [down]: token, [gate]: token });
      const windows = randomWindows(3, 8);
      const together = await run(source, windows);
      const alone = await run(source, windows.slice(1, 2));
      expect(largestDifference(alone, together.slice(together.length / 3, (2 * together.length) / 3))).toBeLessThan(1e-5);
    });
  });

  describe('collect', () => {
    const rows = (tensor: HostTensor): number[][] => {
      const [count, size] = [tensor.data.length / tensor.shape.at(-1)!, tensor.shape.at(-1)!];
      return Array.from({ length: count }, (_, row) => Array.from(tensor.data.subarray(row * size, (row + 1) * size) as Float32Array));
    };

    /** Σ xᵀx in double precision. */
    function gramOf(x: readonly number[][]): number[][] {
      const size = x[0]!.length;
      return Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => x.reduce((sum, row) => sum + row[i]! * row[j]!, 0)));
    }

    async function matrixOf({ matrix }: GramMatrix): Promise<number[][]> {
      return rows(await backend.read(matrix));
    }

    it("takes Gram matrices and magnitudes of a module's input", async () => {
      await using model = await open('llama');
      await using runner = createBlockRunner({ model, backend, chunkTokens: 48 });
      await using hidden = await runner.embed(randomWindows(5, 24));
      const name = 'model.layers.0.self_attn.';
      using collected = await runner.collect(0, hidden, [
        { module: `${name}q_proj`, statistics: [gramStatistic, absMaxStatistic] },
        { module: `${name}v_proj`, statistics: [gramStatistic, absMeanStatistic, squareSumStatistic] },
      ]);
      // The input of the query product is the first norm of the embedding.
      const weight = Array.from((await model.tensor('model.layers.0.input_layernorm.weight')).data as Float32Array);
      const states = (await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk)))).flatMap(rows);
      const x = states.map((row) => {
        const root = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / row.length + 1e-6);
        return row.map((value, index) => (value / root) * weight[index]!);
      });

      const gram = collected.get(`${name}q_proj`, gramStatistic);
      expect(collected.get(`${name}v_proj`, gramStatistic)).toBe(gram);
      expect(gram.rows).toBe(120);
      const expected = gramOf(x);
      (await matrixOf(gram)).forEach((row, i) => {
        row.forEach((value, j) => {
          expect(Math.abs(value - expected[i]![j]!)).toBeLessThan(1e-3);
        });
      });
      const maxima = collected.get(`${name}q_proj`, absMaxStatistic);
      const means = collected.get(`${name}v_proj`, absMeanStatistic);
      const squares = collected.get(`${name}v_proj`, squareSumStatistic);
      weight.forEach((_, index) => {
        expect(maxima.values[index]).toBeCloseTo(Math.max(...x.map((row) => Math.abs(row[index]!))), 4);
        expect(Math.abs(squares.values[index]! / expected[index]![index]! - 1)).toBeLessThan(1e-4);
        expect(means.values[index]).toBeCloseTo(x.reduce((sum, row) => sum + Math.abs(row[index]!), 0) / x.length, 4);
      });
    });

    it('leaves the hidden states and the products behind the last wanted input alone', async () => {
      await using model = await open('llama');
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed(randomWindows(2, 24));
      const before = await values(hidden);
      // Without the weight of the down projection nothing that needs it can run.
      const lacking = overlayModel(model, new Map([['model.layers.0.mlp.down_proj', () => Promise.reject(new Error('not needed'))]]));
      using collected = await runner.collect(0, hidden, [{ module: 'model.layers.0.mlp.down_proj', statistics: [gramStatistic] }], lacking);
      expect(collected.get('model.layers.0.mlp.down_proj', gramStatistic).matrix.shape).toEqual([128, 128]);
      expect(await values(hidden)).toEqual(before);
    });

    it.each(['gpt2', 'gpt_neox', 'phi3', 'gemma2', 'opt'])('finds the input of every linear layer of %s', async (name) => {
      await using model = await open(name);
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed(randomWindows(2, 12));
      await runner.advance(0, hidden);
      const modules = model.modules.filter(({ block, kind }) => block === 1 && kind === 'linear');
      using collected = await runner.collect(
        1,
        hidden,
        modules.map((module) => ({ module: module.name, statistics: [gramStatistic] })),
      );
      for (const module of modules) {
        const gram = collected.get(module.name, gramStatistic);
        expect([gram.rows, gram.matrix.shape]).toEqual([24, [module.shape[1], module.shape[1]]]);
        const diagonal = (await matrixOf(gram)).map((row, index) => row[index]!);
        expect(Math.min(...diagonal)).toBeGreaterThanOrEqual(0);
        expect(Math.max(...diagonal)).toBeGreaterThan(0);
      }
    });

    it.each([1, 3])('counts only the tokens that reach an expert, however experts are run (%i tokens a window)', async (length) => {
      await using model = await open('qwen3_moe');
      const windows = randomWindows(length, length);
      const experts = model.modules.filter(({ block, expert }) => block === 0 && expert !== undefined);
      const requests = experts.map((module) => ({ module: module.name, statistics: [gramStatistic, absMaxStatistic, absMeanStatistic] }));
      // A backend that needs every size beforehand.
      const unrouted = new Proxy(backend, {
        get: (target, key) => {
          if (key === 'unsupported') return () => [{ operator: 'TopK', domain: '', node: 'TopK_2', reason: 'the size of its result depends on data' }];
          const member: unknown = Reflect.get(target, key);
          return typeof member === 'function' ? (member.bind(target) as unknown) : member;
        },
      });
      await using routed = createBlockRunner({ model, backend });
      await using all = createBlockRunner({ model, backend: unrouted });
      await using hidden = await routed.embed(windows);
      using some = await routed.collect(0, hidden, requests);
      using same = await all.collect(0, hidden, requests);
      let reached = 0;
      for (const { name, role } of experts) {
        const [left, right] = [some.get(name, gramStatistic), same.get(name, gramStatistic)];
        expect(left.rows).toBe(right.rows);
        expect(some.get(name, absMaxStatistic).rows).toBe(left.rows);
        if (role === 'mlp.gate') reached += left.rows;
        const [a, b] = [(await matrixOf(left)).flat(), (await matrixOf(right)).flat()];
        if (left.rows === 0) expect(a.every((value) => value === 0)).toBe(true);
        expect(largestDifference(Float32Array.from(a), Float32Array.from(b))).toBeLessThan(1e-4);
        expect(largestDifference(some.get(name, absMeanStatistic).values, same.get(name, absMeanStatistic).values)).toBeLessThan(1e-5);
      }
      // Two of four experts a token: a single token leaves two without any.
      expect(reached).toBe(2 * length * length);
    });

    it('accepts a statistic made elsewhere and refuses a bare reference', async () => {
      await using model = await open('llama');
      await using runner = createBlockRunner({ model, backend });
      await using hidden = await runner.embed(randomWindows(2, 6));
      const sum = defineStatistic<number>({
        id: 'sum-of-squares',
        state: () => [{ dtype: 'float32', shape: [1] }],
        accumulate: (builder, rows, [total]) => [builder.add(total!, builder.op('ReduceSumSquare', [rows, builder.int64([0, 1])], { keepdims: 0 }))],
        finish: async (state, context) => Number((await context.backend.read(state[0]!)).data[0]),
      });
      const module = 'model.layers.0.mlp.up_proj';
      using collected = await runner.collect(0, hidden, [{ module, statistics: [sum, gramStatistic] }]);
      const trace = (await matrixOf(collected.get(module, gramStatistic))).reduce((total, row, index) => total + row[index]!, 0);
      expect(collected.get(module, sum)).toBeCloseTo(trace, 1);
      const bare: StatisticRef<unknown> = { $$type: '@pare/statistic', id: 'gram' };
      await expect(runner.collect(0, hidden, [{ module, statistics: [bare] }])).rejects.toMatchObject({ code: 'PARE_STATISTIC_UNKNOWN' });
      await expect(runner.collect(1, hidden, [{ module, statistics: [gramStatistic] }])).rejects.toMatchObject({ code: 'PARE_MODULE_UNKNOWN' });
    });
  });

  it('stops between chunks when it is told to, and leaves nothing on the device', async () => {
    await using model = await open('llama');
    for (const task of ['embed', 'collect', 'advance', 'likelihood'] as const) {
      const windows = randomWindows(4, 8);
      const controller = new AbortController();
      const seen: string[] = [];
      const work = async (): Promise<void> => {
        await using runner = createBlockRunner({
          model,
          backend,
          chunkTokens: 8,
          signal: controller.signal,
          onProgress: (progress) => {
            seen.push(progress.task);
            if (progress.task === task && progress.completed === 2) controller.abort();
          },
        });
        await using hidden = await runner.embed(windows);
        using _collected = await runner.collect(0, hidden, [{ module: 'model.layers.0.mlp.up_proj', statistics: [gramStatistic] }]);
        await runner.advance(0, hidden);
        await runner.negativeLogLikelihood(hidden, windows);
      };
      await expect(work()).rejects.toMatchObject({ code: 'PARE_ABORTED' });
      expect(seen.filter((entry) => entry === task)).toHaveLength(2);
      expect(backend.memory().tensors).toBe(0);
    }
  });
});
