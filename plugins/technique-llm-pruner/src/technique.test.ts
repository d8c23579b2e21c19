import { createRandom, isPareError, type DecoderDescription, type Model, type ModelSummary, type ModuleInfo, type Recipe, type TargetModule } from '@pare/core';
import { buildDecoderGraph, describeModel, openModel, parametersOf, parameterValues, readParameter, sliceModel, tensorEntry, writeSafetensors } from '@pare/model';
import { architectures, fixtureNames, leakCheckedBackend, memoryText, sampleText, startTestHost, temporaryDirectory, tinyModel } from '@pare/testkit';
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { huggingFaceFormat } from '@pare/format-hf';
import { countsAfter, lowest, lowestOfAll } from './choose.js';
import { llmPruner, llmPrunerOptions, type LlmPrunerOptions } from './index.js';
import { AxisScores, reduce } from './scores.js';
import { measure } from './importance.js';
import { traceGroups } from '@pare/dependency-groups';
import { DecoderGradients, crossEntropy, decoderSegments, loadParameters, nextTokenTargets } from '@pare/training';

const calibration = { data: memoryText(sampleText(4000)), samples: 4, sequenceLength: 24 };

const failure = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (error: unknown) => (isPareError(error) ? { code: error.code, message: error.message } : error));

const targetsOf = (modules: readonly ModuleInfo[], options: Partial<LlmPrunerOptions>): TargetModule<LlmPrunerOptions>[] =>
  modules.filter(({ kind }) => kind === 'linear').map((info) => ({ info, options: llmPrunerOptions.parse(options) }));

/** A model of the given configuration without weights. */
async function shapesOf(config: Readonly<Record<string, unknown>>): Promise<Model> {
  await using folder = await temporaryDirectory();
  await writeFile(folder.join('config.json'), JSON.stringify(config));
  return await describeModel(folder.path, { architectures, file: 'nothing', bytes: 0 });
}

const llama = { model_type: 'llama', hidden_act: 'silu', rms_norm_eps: 1e-5, max_position_embeddings: 8192, torch_dtype: 'bfloat16' };

describe('what remains', () => {
  it('of Llama-3-8B with a quarter of layers 4 to 29 taken out is 6,612,586,496 parameters', async () => {
    const config = { ...llama, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 128256 };
    await using model = await shapesOf(config);
    expect(model.parameters).toBe(8_030_261_248);
    const inside = model.modules.filter(({ block }) => block !== undefined && block >= 4 && block < 30);
    const small = sliceModel(model, llmPruner.restructure!(targetsOf(inside, { ratio: 0.25 }), model));
    expect(small.parameters).toBe(6_612_586_496);
    expect(small.description.blocks[4]!.attention).toMatchObject({ heads: 24, kvHeads: 6 });
    expect(small.modules.find(({ name }) => name === 'model.layers.4.mlp.down_proj')!.shape).toEqual([4096, 10752]);
  });

  it('of Llama-7B is between 5.4 and 5.5 billion', async () => {
    await using model = await shapesOf({ ...llama, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, vocab_size: 32000 });
    const inside = model.modules.filter(({ block }) => block !== undefined && block >= 4 && block < 30);
    const { parameters } = sliceModel(model, llmPruner.restructure!(targetsOf(inside, { ratio: 0.25 }), model));
    expect(parameters).toBeGreaterThan(5.4e9);
    expect(parameters).toBeLessThan(5.5e9);
  });

  it('loses 3 vectors with a neuron and 4 with a row of a head', async () => {
    await using model = await shapesOf({ ...llama, hidden_size: 64, intermediate_size: 100, num_hidden_layers: 1, num_attention_heads: 4, vocab_size: 50 });
    const only = (role: string, ratio: number): number => model.parameters - sliceModel(model, llmPruner.restructure!(targetsOf(model.modules.filter((info) => info.role === role), { ratio }), model)).parameters;
    expect(only('mlp.down', 0.01)).toBe(3 * 64);
    expect(only('attention.output', 0.25)).toBe(4 * 64 * 16);
  });

  it('is a multiple where one is asked for, and a block less by whole blocks', async () => {
    await using model = await shapesOf({ ...llama, hidden_size: 64, intermediate_size: 100, num_hidden_layers: 5, num_attention_heads: 4, vocab_size: 50 });
    const remaining = (options: Partial<LlmPrunerOptions>): DecoderDescription => sliceModel(model, llmPruner.restructure!(targetsOf(model.modules, options), model)).description;
    expect(remaining({ ratio: 0.3, multipleOf: 16 }).blocks[0]!.mlp).toMatchObject({ down: { inFeatures: 80 } });
    expect(remaining({ ratio: 0.3, granularity: 'channel', multipleOf: 8 }).hiddenSize).toBe(48);
    expect(remaining({ ratio: 0.4, granularity: 'layer' }).blocks).toHaveLength(3);
  });

  it('is planned for every target', async () => {
    await using model = await shapesOf({ ...llama, hidden_size: 64, intermediate_size: 100, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 50 });
    const plans = llmPruner.plan(targetsOf(model.modules, { ratio: 0.25, importance: 'l2' }), model);
    const bits = Object.fromEntries(plans.slice(0, 7).map(({ module, storedBits }) => [module.split('.').at(-1)!, storedBits / 16]));
    expect(bits).toEqual({ q_proj: 48 * 64, k_proj: 48 * 64, v_proj: 48 * 64, o_proj: 48 * 64, gate_proj: 75 * 64, up_proj: 75 * 64, down_proj: 75 * 64 });
  });
});

describe('scores', () => {
  const units = (): AxisScores =>
    new AxisScores([{ axis: { id: 0, size: 2, fixed: [], statistics: [], members: [{ tensor: 'up', axis: 0, map: { offset: 0, length: 1, repeats: [] } }, { tensor: 'down', axis: 1, map: { offset: 0, length: 1, repeats: [] } }] }, index: 0 }]);
  const axis = { id: 0, size: 2, fixed: [], statistics: [], members: [{ tensor: 'up', axis: 0, map: { offset: 0, length: 1, repeats: [] } }, { tensor: 'down', axis: 1, map: { offset: 0, length: 1, repeats: [] } }] };
  const up = [1, -2, 3, 4]; // rows (1, −2) and (3, 4)
  const down = [1, 10, -1, 20]; // columns (1, −1) and (10, 20)

  it('add elements or vectors, by rows and columns', () => {
    for (const [vectors, expected] of [
      [false, [3 + 2, 7 + 30]],
      [true, [1 + 0, 7 + 30]],
    ] as const) {
      const scores = units();
      scores.add('up', [2, 2], (index) => up[index]!, vectors);
      scores.add('down', [2, 2], (index) => down[index]!, vectors);
      expect([0, 1].map((index) => scores.unit({ axis, index }, 'sum'))).toEqual(expected);
      // A vector’s sum is never above the sum of its elements.
      expect(scores.unit({ axis, index: 0 }, 'sum')).toBeLessThanOrEqual(5);
    }
  });

  it('add up over heads and their repeats', () => {
    const heads = { ...axis, members: [{ tensor: 'qkv', axis: 0, map: { offset: 0, length: 2, repeats: [{ count: 2, stride: 4 }] } }] };
    const scores = new AxisScores([{ axis: heads, index: 0 }]);
    scores.add('qkv', [8], (index) => 10 ** index, false);
    expect([0, 1].map((index) => scores.unit({ axis: heads, index }, 'sum'))).toEqual([110_011, 11_001_100]);
  });

  it.each([
    ['sum', 9],
    ['mean', 3],
    ['max', 4],
    ['prod', 24],
    ['first', 2],
    ['last', 3],
  ] as const)('%s', (reduction, expected) => {
    expect(reduce([2, 4, 3], reduction)).toBe(expected);
  });

  it('refuse what is not finite', () => {
    expect(() => units().add('up', [2, 2], (index) => (index === 2 ? NaN : 1), false)).toThrow(expect.objectContaining({ code: 'PARE_STATISTIC_NOT_FINITE' }) as Error);
  });
});

describe('choosing', () => {
  it('takes the lowest, of equal ones the first', () => {
    expect(lowest([3, 1, 2, 1], 2)).toEqual([1, 3]);
  });

  it('ranks layers of a kind together and empties none', () => {
    const layers = [
      { kind: 'neurons', scores: [1, 2, 3], most: 2 },
      { kind: 'heads', scores: [0, 9], most: 1 },
      { kind: 'neurons', scores: [10, 2.5], most: 1 },
    ] as const;
    expect(lowestOfAll(layers, new Map([['neurons', 3], ['heads', 1]] as const))).toEqual([[0, 1], [0], [1]]);
  });

  it('reaches the share in equal steps', () => {
    expect([0, 1, 2].map((step) => countsAfter([10, 1], step, 3))).toEqual([[3, 0], [6, 0], [10, 1]]);
  });
});

async function compress(folder: Awaited<ReturnType<typeof tinyModel>>, options: Partial<LlmPrunerOptions>, targets?: Recipe['stages'][number]['targets']) {
  await using host = await startTestHost({ plugins: [llmPruner, huggingFaceFormat] });
  await using backend = await leakCheckedBackend();
  const output = folder.join(`out-${String(Math.floor(performance.now() * 1000))}`);
  const recipe: Recipe = { version: 1, stages: [{ technique: 'llm-pruner', options, ...(targets === undefined ? {} : { targets }) }] };
  const result = await host.compress({ model: folder.model, recipe, calibration, output, backend, formats: ['hf'], seed: 3 });
  await using model = await host.openModel(output);
  return { result, summary: { parameters: model.parameters, description: model.description, config: model.config } satisfies Partial<ModelSummary>, output };
}

describe('pruning', () => {
  it.each(fixtureNames)('%s: neurons by gradients', async (name) => {
    await using folder = await tinyModel(name);
    await using host = await startTestHost();
    await using before = await host.openModel(folder.model);
    const include = before.modules.flatMap((info) => (info.role === 'mlp.down' ? [info.name] : []));
    const { summary, result } = await compress(folder, { ratio: 0.25, samples: 2, sequenceLength: 12 }, { include });
    expect(summary.parameters).toBeLessThan(before.parameters);
    expect(result.stages[0]!.reports.every(({ details }) => details!['removed'] === details!['units']! / 4)).toBe(true);
    expect(result.stages[0]!.reports.every(({ details }) => details!['importanceRemoved']! > 0 && details!['importanceRemoved']! < 0.25)).toBe(true);
  });

  it.each(['element', 'element-second', 'mixed', 'vector', 'l1', 'l2', 'random'] as const)('llama by %s, heads and neurons, in two steps', async (importance) => {
    await using folder = await tinyModel('llama');
    const { summary } = await compress(folder, { ratio: 0.5, importance, iterations: 2, samples: 2, sequenceLength: 12 });
    expect(summary.config).toMatchObject({ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, intermediate_size: 64 });
  });

  it('takes what matters nothing first', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost();
    await using model = await host.openModel(folder.model);
    // Neurons whose rows and column are zero have importance 0 by every score.
    const dead = [5, 9, 77];
    const entries = await Promise.all(
      parametersOf(model).map(async (parameter) => {
        const tensor = parameterValues(await readParameter(model, parameter));
        const role = parameter.module?.role;
        const columns = tensor.shape[1] ?? 1;
        for (const neuron of dead) {
          if (role === 'mlp.up' || role === 'mlp.gate') tensor.data.fill(0, neuron * columns, (neuron + 1) * columns);
          if (role === 'mlp.down') for (let row = 0; row < tensor.shape[0]!; row++) tensor.data[row * columns + neuron] = 0;
        }
        return { ...tensorEntry(parameter.name, tensor), read: () => Promise.resolve(tensor) };
      }),
    );
    await writeSafetensors(`${folder.model}/model.safetensors`, entries);
    for (const importance of ['element', 'element-second', 'vector', 'l2'] as const) {
      const { output } = await compress(folder, { ratio: 3 / 128, importance, samples: 2, sequenceLength: 12 }, { include: ['*down_proj'] });
      await using small = await openModel(output, { architectures });
      for (const { name, role } of small.modules) {
        if (role !== 'mlp.down') continue;
        const { data, shape } = await small.denseWeight(name);
        expect(shape[1]).toBe(125);
        const sums = Array.from({ length: 125 }, (_, column) => data.reduce((sum, value, index) => (index % 125 === column ? sum + Math.abs(value) : sum), 0));
        expect(Math.min(...sums)).toBeGreaterThan(0);
      }
    }
  });

  it('channels, blocks, and experts', async () => {
    await using folder = await tinyModel('qwen3_moe');
    expect((await compress(folder, { granularity: 'channel', ratio: 0.25, samples: 1, sequenceLength: 8 })).summary.description.hiddenSize).toBe(48);
    expect((await compress(folder, { granularity: 'layer', ratio: 0.5, importance: 'vector', samples: 1, sequenceLength: 8 })).summary.description.blocks).toHaveLength(1);
    const { summary } = await compress(folder, { ratio: 0.25, samples: 1, sequenceLength: 8 }, { include: ['router'] });
    const { mlp } = summary.description.blocks[0]!;
    expect(mlp.kind === 'moe' && mlp.experts.length).toBeLessThan(8);
  });

  it('global ranking leaves layers of different widths, which a stock folder refuses beforehand', async () => {
    await using folder = await tinyModel('llama');
    expect(await failure(compress(folder, { ratio: 0.25, ranking: 'global', importance: 'l2' }))).toMatchObject({ code: 'PARE_FORMAT_REFUSED' });
    await using host = await startTestHost({ plugins: [llmPruner, huggingFaceFormat] });
    const output = folder.join('global');
    const recipe: Recipe = { version: 1, stages: [{ technique: 'llm-pruner', options: { ratio: 0.25, ranking: 'global', importance: 'l2', iterations: 3 }, targets: { include: ['*down_proj'] } }] };
    await host.compress({ model: folder.model, recipe, output, backend: 'reference', formats: [{ id: 'hf', options: { nonUniform: true } }] });
    await using model = await host.openModel(output);
    expect(model.modules.filter(({ role }) => role === 'mlp.down').reduce((sum, { shape }) => sum + shape[1], 0)).toBe(2 * 96);
  });

  it('refuses ratios that empty a layer, targets without units, and a missing text', async () => {
    await using folder = await tinyModel('llama');
    expect(await failure(compress(folder, { ratio: 0.999 }))).toMatchObject({ code: 'PARE_TARGET_REFUSED', message: expect.stringMatching(/2 of its 2 heads/) as string });
    expect(await failure(compress(folder, { granularity: 'layer', ratio: 0.9 }))).toMatchObject({ code: 'PARE_TARGET_REFUSED', message: expect.stringMatching(/all of the 2 blocks/) as string });
    expect(await failure(compress(folder, {}, { include: ['*up_proj'] }))).toMatchObject({ code: 'PARE_TARGET_REFUSED', message: expect.stringMatching(/down projection/) as string });
    await using host = await startTestHost({ plugins: [llmPruner] });
    const recipe: Recipe = { version: 1, stages: [{ technique: 'llm-pruner', options: {} }] };
    expect(await failure(host.compress({ model: folder.model, recipe, output: folder.join('none'), backend: 'reference', formats: ['dump'] }))).toMatchObject({ code: 'PARE_CALIBRATION_MISSING' });
  });
});

describe('first-order importance', () => {
  it('is what the loss changes by when a group fades, by finite differences', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost();
    await using model = await host.openModel(folder.model);
    await using backend = await leakCheckedBackend();
    const random = createRandom(1);
    const windows = [0, 1].map(() => Int32Array.from({ length: 10 }, () => Math.floor(random() * 160)));
    const groups = traceGroups(buildDecoderGraph(model.description));
    const [unit] = groups.unitsOf('model.layers.1.mlp.down_proj.weight', 1, 7);
    const scores = new AxisScores([unit!]);
    let slope = 0;
    const wanted = new Map(unit!.axis.members.map(({ tensor, axis }) => [tensor, axis]));
    await measure({ model, backend, windows, options: llmPrunerOptions.parse({}), signal: new AbortController().signal }, scores.tensors, (tensor, shape, contribution) => {
      for (let index = 0; index < shape[0]! * shape[1]!; index++) if ((wanted.get(tensor) === 0 ? Math.floor(index / shape[1]!) : index % shape[1]!) === 7) slope += contribution(index);
    });
    // d loss / dα of the group scaled by α, at α = 1.
    const loss = async (factor: number): Promise<number> => {
      const segments = decoderSegments({ description: model.description, experts: 'all', loss: crossEntropy });
      const parameters = await loadParameters(backend, model, segments);
      for (const [tensor, axis] of wanted) {
        const known = parameters.get(tensor)!;
        const host = await backend.read(known);
        const data = (host.data as Float32Array).map((value, index) => ((axis === 0 ? Math.floor(index / host.shape[1]!) : index % host.shape[1]!) === 7 ? factor * value : value));
        known[Symbol.dispose]();
        parameters.set(tensor, backend.write({ ...host, data }));
      }
      await using gradients = new DecoderGradients({ backend, segments, parameters, trainable: new Set(), recompute: true });
      const ids = { dtype: 'int64', shape: [2, 10], data: BigInt64Array.from(windows.flatMap((window) => Array.from(window, BigInt))) } as const;
      const result = await gradients.loss({ ids, inputs: { ...nextTokenTargets(windows) } });
      for (const tensor of parameters.values()) tensor[Symbol.dispose]();
      return result.loss;
    };
    const step = 0.25;
    const difference = ((await loss(1 + step)) - (await loss(1 - step))) / (2 * step);
    expect(Math.abs(slope - difference)).toBeLessThan(0.05 * Math.abs(difference) + 1e-5);
  });
});
