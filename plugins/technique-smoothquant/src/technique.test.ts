import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { webgpuBackend } from '@pare/backend-webgpu';
import { apiVersion, defineTechnique, float32Tensor, type Backend, type Model, type PareError, type Recipe, type RecipeStage, type Technique } from '@pare/core';
import perplexity from '@pare/evaluator-perplexity';
import { findFoldSites, foldChanges } from '@pare/folding';
import { huggingFaceFormat } from '@pare/format-hf';
import { onnxFormat } from '@pare/format-onnx';
import { absMaxStatistic, createBlockRunner, openModel } from '@pare/model';
import { gptq } from '@pare/technique-gptq';
import { rtn } from '@pare/technique-rtn';
import { architectures, failure, leakCheckedBackend, memoryText, modelLogits, sampleText, startTestHost, tinyModel, type FixtureName, type TestHost } from '@pare/testkit';
import { denseWeight } from '@pare/weights';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { smoothquant, type SmoothquantOptions } from './index.js';
import { comesFromNorm } from './sites.js';

const calibration = { data: memoryText(sampleText(6000)), samples: 4, sequenceLength: 16 };
const windows = [Int32Array.from({ length: 12 }, (_, index) => 3 + 7 * index)];
const smoothOnly = (options: Partial<SmoothquantOptions> = {}): RecipeStage => ({ technique: 'smoothquant', options: { quantize: false, minimumTokens: 1, ...options } });
const gptqW8A8: RecipeStage = { technique: 'gptq', options: { bits: 8, groupSize: -1, activations: 'dynamic-token' } };

const rescaleOptions = z.strictObject({
  factor: z.number().default(40).describe('What channels of norms are multiplied by.'),
  channels: z.int().default(8).describe('How many channels.'),
  compensate: z.boolean().default(true).describe('Whether layers behind the norms undo it.'),
});

/** Makes outliers: channels of norms get larger, and the weights that read them smaller. */
const outliers: Technique<z.infer<typeof rescaleOptions>> = defineTechnique<z.infer<typeof rescaleOptions>>({
  id: 'outliers',
  api: apiVersion,
  title: 'Outliers',
  summary: 'Multiplies channels of norms and divides what reads them; for tests.',
  family: 'activation',
  scope: 'block',
  adjusts: true,
  options: rescaleOptions,
  accepts: ['dense'],
  produces: ['dense'],
  plan: (targets) => targets.map(({ info }) => ({ module: info.name, produces: 'dense', storedBits: info.shape[0] * info.shape[1] * (info.dtype === 'float32' ? 32 : 16), flops: 1, workingBytes: 1 })),
  async apply({ model, block, modules, parameters }) {
    const { factor, channels, compensate } = modules[0]!.options;
    const weights = new Map<string, Float32Array>();
    for (const module of modules) weights.set(`${module.info.name}.weight`, (await module.weight()).data);
    for (const parameter of parameters) weights.set(parameter.name, (await parameter.value()).data);
    for (const site of findFoldSites(model.description, block!.index).sites.filter(comesFromNorm)) {
      const step = Math.floor(site.channels / channels);
      const scales = Float32Array.from({ length: site.channels }, (_, channel) => (channel % step === 3 && channel < step * channels ? 1 / factor : 1));
      for (const { tensor, source, apply } of foldChanges(site, scales)) if (source || compensate) apply(weights.get(tensor)!);
    }
    for (const { info, replace } of modules) await replace(denseWeight(weights.get(`${info.name}.weight`)!, info.shape, info.dtype));
    for (const { name, module, shape, replace } of parameters) if (module === undefined) await replace(float32Tensor(shape, weights.get(name)!));
  },
});

function startHost(): Promise<TestHost> {
  return startTestHost({ plugins: [smoothquant, outliers, gptq, rtn, perplexity, huggingFaceFormat, onnxFormat, cpuBackend] });
}

async function compress(model: string, output: string, stages: readonly RecipeStage[], backend: string | Backend = 'reference'): Promise<void> {
  await using host = await startHost();
  const recipe: Recipe = { version: 1, stages };
  await host.compress({ model, recipe, calibration, output, formats: ['hf'], backend });
}

async function logits(model: Model): Promise<Float32Array> {
  await using backend = await leakCheckedBackend();
  return await modelLogits(backend, model, windows);
}

async function folderLogits(directory: string): Promise<Float32Array> {
  await using model = await openModel(directory, { architectures });
  return await logits(model);
}

/** Largest difference relative to the largest value. */
function difference(found: Float32Array, expected: Float32Array): number {
  return Math.max(...found.map((value, index) => Math.abs(value - expected[index]!))) / Math.max(...expected.map(Math.abs));
}

describe('smoothing', () => {
  it.each<FixtureName>(['llama', 'gpt2', 'gpt_neox', 'opt', 'gemma2', 'qwen3_moe', 'phi3'])('changes the tensors of %s and not what they compute', async (name) => {
    await using folder = await tinyModel(name);
    const before = await folderLogits(folder.model);
    for (const sites of ['norms', 'all'] as const) {
      const output = folder.join(sites);
      await compress(folder.model, output, [smoothOnly({ sites })]);
      expect(difference(await folderLogits(output), before)).toBeLessThan(1e-5);
      await using model = await openModel(output, { architectures });
      await using source = await openModel(folder.model, { architectures });
      const changed = [];
      for (const module of model.modules) if (difference((await model.denseWeight(module.name)).data, (await source.denseWeight(module.name)).data) > 0.01) changed.push(module.role);
      expect(changed.filter((role) => role === 'attention.query' || role === 'attention.qkv')).toHaveLength(2);
      // GeLU stands before the down projection of some, and keeps it from being smoothed.
      const gated = name === 'llama' || name === 'phi3' || name === 'gemma2';
      if (gated) expect(changed.filter((role) => role === 'mlp.down')).toHaveLength(sites === 'all' ? 2 : 0);
    }
  });

  it.each([
    ['cpu', (): Promise<Backend> => Promise.resolve(cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console }))],
    ...(process.env['PARE_WEBGPU'] === 'absent' ? [] : [['webgpu', (): Promise<Backend> => Promise.resolve(webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log: console }))] as const]),
  ] as const)('does the same on %s', async (_, create) => {
    await using folder = await tinyModel('llama');
    await using backend = await create();
    await compress(folder.model, folder.join('smooth'), [smoothOnly()], backend);
    expect(difference(await folderLogits(folder.join('smooth')), await folderLogits(folder.model))).toBeLessThan(1e-5);
  });

  it('makes inputs and weights of each channel equally large at strength 0.5', async () => {
    await using folder = await tinyModel('llama');
    const output = folder.join('smooth');
    await compress(folder.model, output, [smoothOnly({ strength: 0.5 })]);
    await using model = await openModel(output, { architectures });
    await using source = await openModel(folder.model, { architectures });
    await using backend = await leakCheckedBackend();
    for (const site of findFoldSites(model.description, 0).sites.filter(comesFromNorm)) {
      const names = site.consumers.map(({ module }) => module);
      const inputsOf = async (of: Model): Promise<Float32Array> => {
        await using runner = createBlockRunner({ model: of, backend });
        await using hidden = await runner.embed(windows);
        using statistics = await runner.collect(0, hidden, [{ module: names[0]!, statistics: [absMaxStatistic] }]);
        return statistics.get(names[0]!, absMaxStatistic).values;
      };
      const weightsOf = async (of: Model): Promise<Float32Array> => {
        const maxima = new Float32Array(site.channels);
        for (const name of names) (await of.denseWeight(name)).data.forEach((value, index) => (maxima[index % site.channels] = Math.max(maxima[index % site.channels]!, Math.abs(value))));
        return maxima;
      };
      // Other tokens than those that the scales were made of: the ratio is theirs, the product is not changed by any.
      const [before, after] = [await inputsOf(source), await inputsOf(model)];
      const [heavy, light] = [await weightsOf(source), await weightsOf(model)];
      for (let channel = 0; channel < site.channels; channel++) expect(after[channel]! * light[channel]!).toBeCloseTo(before[channel]! * heavy[channel]!, 5);
    }
  });

  it('undoes outliers: strength 0.5 does not see them', async () => {
    await using folder = await tinyModel('llama');
    await compress(folder.model, folder.join('plain'), [smoothOnly()]);
    await compress(folder.model, folder.join('made'), [{ technique: 'outliers' }, smoothOnly()]);
    await using plain = await openModel(folder.join('plain'), { architectures });
    await using made = await openModel(folder.join('made'), { architectures });
    for (const { name, form } of plain.modules) if (form === 'dense') expect(difference((await made.denseWeight(name)).data, (await plain.denseWeight(name)).data)).toBeLessThan(1e-5);
  });
});

describe('rounding', () => {
  it('rounds weights and inputs, with smaller inputs for static grids', async () => {
    await using folder = await tinyModel('llama');
    const round = (options: Partial<SmoothquantOptions>): RecipeStage => ({ technique: 'smoothquant', options: { minimumTokens: 1, activations: 'static-tensor', ...options } });
    await compress(folder.model, folder.join('smooth'), [{ technique: 'outliers' }, round({})]);
    await compress(folder.model, folder.join('naive'), [{ technique: 'outliers' }, round({ smooth: false })]);
    await using smooth = await openModel(folder.join('smooth'), { architectures });
    await using naive = await openModel(folder.join('naive'), { architectures });
    const [query, output] = ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.o_proj'];
    const scale = async (model: Model, module: string): Promise<number> => {
      const form = await model.weight(module);
      return form.form === 'quantized' ? form.input!.scale! : NaN;
    };
    expect(await scale(smooth, query)).toBeLessThan((await scale(naive, query)) / 5);
    // What comes from no norm is rounded as it is.
    expect(Math.abs((await scale(smooth, output)) / (await scale(naive, output)) - 1)).toBeLessThan(1e-3);
    const expected = await folderLogits(folder.model);
    expect(difference(await logits(smooth), expected)).toBeLessThan(difference(await logits(naive), expected) / 2);
  });

  it('leaves inputs alone that too few tokens were seen of, and says so', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startHost();
    const { stages } = await host.compress({
      model: folder.model,
      recipe: { version: 1, stages: [{ technique: 'smoothquant', options: { minimumTokens: 1000, activations: 'static-tensor' } }] },
      calibration,
      output: folder.join('out'),
      formats: ['hf'],
      backend: 'reference',
    });
    expect(JSON.stringify(stages)).toMatch(/only 64 calibration tokens reached it, minimumTokens is 1000; not smoothed/);
    await using model = await openModel(folder.join('out'), { architectures });
    expect(model.modules.find(({ form }) => form === 'quantized')!.input).toMatchObject({ granularity: 'token', dynamic: true });
  });

  it('refuses inputs that overflow, by name', async () => {
    await using folder = await tinyModel('llama');
    const error = await failure(compress(folder.model, folder.join('out'), [{ technique: 'outliers', options: { factor: 1.5e38, compensate: false } }, smoothOnly()]));
    expect(error.code).toBe('PARE_STATISTIC_NOT_FINITE');
    expect(error.place?.module).toMatch(/layers\.0/);
  });
});

describe('recipes with smoothquant', () => {
  it('hand smoothed weights to gptq, which rounds weights and activations', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startHost();
    const planned = await host.plan({ model: folder.model, recipe: { version: 1, stages: [smoothOnly(), gptqW8A8] }, calibration, formats: ['hf', 'onnx'], backend: 'reference' });
    expect(planned.stages.map(({ modules }) => modules[0])).toMatchObject([{ produces: 'dense' }, { produces: 'quantized', bits: 8, input: { granularity: 'token', dynamic: true } }]);
    await compress(folder.model, folder.join('both'), [smoothOnly(), gptqW8A8]);
    await compress(folder.model, folder.join('smooth'), [smoothOnly()]);
    await compress(folder.join('smooth'), folder.join('then'), [gptqW8A8]);
    for (const file of ['model.safetensors', 'config.json']) expect(await readFile(join(folder.path, 'both', file))).toEqual(await readFile(join(folder.path, 'then', file)));
    expect(difference(await folderLogits(folder.join('both')), await folderLogits(folder.model))).toBeLessThan(0.05);
  });

  it('are refused where nothing can be smoothed any more, or nothing would be done', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startHost();
    const plan = (stages: readonly RecipeStage[]): Promise<PareError> => failure(host.plan({ model: folder.model, recipe: { version: 1, stages }, calibration, formats: ['hf'], backend: 'reference' }));
    for (const first of [gptqW8A8, { technique: 'rtn', options: { groupSize: 32 } }]) expect(await plan([first, smoothOnly()])).toMatchObject({ code: 'PARE_RECIPE_ORDER' });
    const nothing = await plan([{ ...smoothOnly(), targets: { include: ['*.mlp.down_proj'] } }]);
    expect(nothing.code).toBe('PARE_TARGET_REFUSED');
    expect(nothing.message).toMatch(/none of the targets has an input whose scales fold/);
    expect(await plan([smoothOnly({ smooth: false })])).toMatchObject({ code: 'PARE_TARGET_REFUSED' });
    await host.plan({ model: folder.model, recipe: { version: 1, stages: [{ ...smoothOnly({ sites: 'all' }), targets: { include: ['*.mlp.down_proj'] } }] }, calibration, formats: ['hf'], backend: 'reference' });
  });
});

describe('tales-7m with outliers in eight channels of every norm', () => {
  it('loses much to static rounding, and SmoothQuant gives four fifths of it back', async () => {
    const root = join(import.meta.dirname, '../../../examples');
    await using host = await startHost();
    const measure = async (stage: RecipeStage[]): Promise<number> => {
      const recipe: Recipe = { version: 1, stages: [{ technique: 'outliers' }, ...stage] };
      const { metrics } = await host.evaluate({
        model: join(root, 'models/tales-7m'),
        recipe: { recipe, calibration: { data: join(root, 'data/tales-calibration.txt'), samples: 8, sequenceLength: 128 } },
        evaluators: [{ id: 'perplexity', options: { samples: 8, sequenceLength: 256 } }],
        data: join(root, 'data/tales-evaluation.txt'),
        backend: { id: 'cpu', options: { threads: 1 } },
      });
      return metrics['perplexity']!;
    };
    const options = { activations: 'static-tensor', granularity: 'tensor' };
    const before = await measure([]);
    const naive = await measure([{ technique: 'smoothquant', options: { ...options, smooth: false } }]);
    const smooth = await measure([{ technique: 'smoothquant', options }]);
    expect(naive / before).toBeGreaterThan(1.02);
    expect((naive - smooth) / (naive - before)).toBeGreaterThan(0.8);
  }, 300_000);
});
