import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { webgpuBackend } from '@pare/backend-webgpu';
import { apiVersion, defineTechnique, float32Tensor, type Backend, type ModulePlan, type Recipe, type Technique } from '@pare/core';
import { findFoldSites } from '@pare/folding';
import { huggingFaceFormat } from '@pare/format-hf';
import { openModel } from '@pare/model';
import type { CompressionResult } from '@pare/runtime';
import { gptq } from '@pare/technique-gptq';
import { rtn } from '@pare/technique-rtn';
import { architectures, failure, folderHashes, leakCheckedBackend, memoryText, modelLogits, sampleText, startTestHost, tinyModel, type FixtureName, type TestHost } from '@pare/testkit';
import { denseWeight } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { awq, awqOptions, type AwqOptions } from './index.js';
import pluginDefault from './index.js';

const calibration = { data: memoryText(sampleText(6000)), samples: 4, sequenceLength: 24 };
const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const small = { bits: 3, groupSize: 32, minimumTokens: 1, trialTokens: 48 } as const;

/** Turns every number of the norms to the largest there is, so that what they put out overflows. */
const loudNorms: Technique<Record<string, never>> = defineTechnique<Record<string, never>>({
  id: 'loud-norms',
  api: apiVersion,
  title: 'Loud norms',
  summary: 'Makes activations overflow; for tests.',
  family: 'activation',
  scope: 'block',
  adjusts: true,
  options: z.strictObject({}),
  accepts: ['dense'],
  produces: ['dense'],
  plan: (targets) => targets.map(({ info }) => ({ module: info.name, produces: 'dense', storedBits: info.shape[0] * info.shape[1] * (info.dtype === 'float32' ? 32 : 16), flops: 1, workingBytes: 1 })),
  async apply({ modules, parameters }) {
    for (const { info, weight, replace } of modules) await replace(denseWeight((await weight()).data, info.shape, info.dtype));
    for (const { module, shape, replace } of parameters) if (module === undefined) await replace(float32Tensor(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(3e38)));
  },
});

function recipeOf(options: Partial<AwqOptions> = {}, ...more: Recipe['stages']): Recipe {
  return { version: 1, stages: [{ technique: 'awq', options: { ...small, ...options } }, ...more] };
}

interface Run {
  readonly result: CompressionResult;
  readonly log: TestHost['log'];
}

async function run(model: string, output: string, recipe: Recipe, given?: Backend): Promise<Run> {
  await using host = await startTestHost({ plugins: [awq, loudNorms, gptq, rtn, huggingFaceFormat] });
  await using own = given === undefined ? await leakCheckedBackend() : undefined;
  const formats = [{ id: 'hf', options: { oddBits: true } }];
  const result = await host.compress({ model, recipe, calibration, output, formats, backend: given ?? own! });
  return { result, log: host.log };
}

async function logits(directory: string): Promise<Float32Array> {
  await using model = await openModel(directory, { architectures });
  await using backend = await leakCheckedBackend();
  return await modelLogits(backend, model, [Int32Array.from({ length: 12 }, (_, index) => 3 + 7 * index)]);
}

function difference(a: Float32Array, b: Float32Array): number {
  let [sum, whole] = [0, 0];
  for (const [index, value] of a.entries()) {
    sum += (value - b[index]!) ** 2;
    whole += value ** 2;
  }
  return Math.sqrt(sum / whole);
}

describe('awq', () => {
  it('is exported by name and by default', () => {
    expect(pluginDefault).toBe(awq);
    expect(awq).toMatchObject({ $$type: '@pare/technique', id: 'awq', api: 1, scope: 'block', adjusts: true });
  });

  it.each<FixtureName>(['llama', 'gpt2', 'opt', 'gemma2', 'qwen3_moe', 'phi3'])('leaves %s as it was when it only scales', async (name) => {
    await using folder = await tinyModel(name);
    const output = folder.join('out');
    const { result } = await run(folder.model, output, recipeOf({ quantize: false }));
    const exponents = result.stages[0]!.reports.map(({ details }) => details?.['exponent'] ?? 0);
    expect(Math.max(...exponents)).toBeGreaterThan(0);
    expect(difference(await logits(folder.model), await logits(output))).toBeLessThan(1e-5);
  });

  it.each<FixtureName>(['llama', 'opt', 'gpt_neox', 'qwen3_moe'])('never judges scales of %s worse than none, and shrinks no range for the worse', async (name) => {
    await using folder = await tinyModel(name);
    // Runtimes read experts without zero points.
    const { result } = await run(folder.model, folder.join('out'), recipeOf({ symmetric: name === 'qwen3_moe' }));
    const details = result.stages[0]!.reports.flatMap((report) => (report.details === undefined ? [] : [report.details]));
    expect(details.some(({ scaledLoss, unscaledLoss }) => scaledLoss! < unscaledLoss!)).toBe(true);
    for (const { scaledLoss, unscaledLoss, clipGain } of details) {
      if (scaledLoss !== undefined) expect(scaledLoss).toBeLessThanOrEqual(unscaledLoss!);
      if (clipGain !== undefined) expect(clipGain).toBeGreaterThanOrEqual(0);
    }
    expect(result.stages[0]!.loss).toBeGreaterThan(0);
  });

  it('says what it scales, and that outputs of grouped heads are left alone', async () => {
    await using folder = await tinyModel('llama');
    const { log: lines, result } = await run(folder.model, folder.join('out'), recipeOf());
    const text = lines.find((line) => line.includes('scales of model.layers.0'))!;
    expect(text).toContain('mlp.down_proj ← mlp.up_proj');
    expect(text).toContain('self_attn.o_proj: skipped');
    const output = result.stages[0]!.reports.find(({ module }) => module === 'model.layers.0.self_attn.o_proj')!;
    expect(output.details).not.toHaveProperty('exponent');
    expect(output.details).toHaveProperty('clipGain');
  });

  it('is better than rounding to nearest on the same grid', async () => {
    await using folder = await tinyModel('opt');
    const [scaled, rounded] = [folder.join('awq'), folder.join('rtn')];
    await run(folder.model, scaled, recipeOf());
    await run(folder.model, rounded, { version: 1, stages: [{ technique: 'rtn', options: { bits: 3, groupSize: 32, symmetric: false } }] });
    const original = await logits(folder.model);
    expect(difference(original, await logits(scaled))).toBeLessThan(difference(original, await logits(rounded)));
  });

  it('scales before GPTQ rounds, and GPTQ works on what was scaled', async () => {
    await using folder = await tinyModel('llama');
    const [both, alone] = [folder.join('both'), folder.join('alone')];
    const second = { technique: 'gptq', options: { bits: 8, groupSize: 32, minimumTokens: 1 } };
    const { result } = await run(folder.model, both, recipeOf({ quantize: false, symmetric: true }, second));
    await run(folder.model, alone, { version: 1, stages: [second] });
    expect(result.stages.map(({ technique, modules }) => [technique, modules])).toEqual([['awq', 14], ['gptq', 14]]);
    await using model = await openModel(both, { architectures });
    await using source = await openModel(folder.model, { architectures });
    expect(new Set(model.modules.filter(({ kind }) => kind === 'linear').map(({ form }) => form))).toEqual(new Set(['quantized']));
    const norm = 'model.layers.0.input_layernorm.weight';
    expect((await model.tensor(norm)).data).not.toEqual((await source.tensor(norm)).data);
    expect(difference(await logits(folder.model), await logits(both))).toBeLessThan(0.05);
    expect(await folderHashes(both)).not.toEqual(await folderHashes(alone));
  });

  it('is refused after a stage that rounds', async () => {
    await using folder = await tinyModel('llama');
    const recipe: Recipe = { version: 1, stages: [{ technique: 'rtn', options: { groupSize: 32 } }, ...recipeOf().stages] };
    expect(await failure(run(folder.model, folder.join('out'), recipe))).toMatchObject({ code: 'PARE_RECIPE_ORDER' });
  });

  it('skips values that it would have to change in compressed matrices', async () => {
    await using folder = await tinyModel('llama');
    const stages = [
      { technique: 'rtn', options: { groupSize: 32 }, targets: { include: ['up_proj'] } },
      { technique: 'awq', options: small, targets: { exclude: ['up_proj'] } },
    ];
    const { log: lines, result } = await run(folder.model, folder.join('out'), { version: 1, stages });
    expect(lines.find((line) => line.includes('scales of'))).toMatch(/down_proj: skipped, model.layers.0.mlp.up_proj.weight is quantized already/);
    expect(result.stages[1]!.reports.find(({ module }) => module.endsWith('0.mlp.gate_proj'))!.details).not.toHaveProperty('exponent');
  });

  it('adjusts readers of a value that are no targets', async () => {
    await using folder = await tinyModel('qwen3_moe');
    const output = folder.join('out');
    const recipe: Recipe = { version: 1, stages: [{ technique: 'awq', options: { ...small, bits: 8, symmetric: true }, targets: { include: ['linear'], exclude: ['k_proj'] } }] };
    await run(folder.model, output, recipe);
    await using model = await openModel(output, { architectures });
    await using source = await openModel(folder.model, { architectures });
    const changed = await Promise.all(['mlp.gate', 'self_attn.k_proj'].map(async (name) => difference((await source.denseWeight(`model.layers.0.${name}`)).data, (await model.denseWeight(`model.layers.0.${name}`)).data)));
    expect(changed[0]! + changed[1]!).toBeGreaterThan(0.01);
    expect(difference(await logits(folder.model), await logits(output))).toBeLessThan(0.05);
  });

  it('rounds experts that saw too few tokens to nearest', async () => {
    await using folder = await tinyModel('qwen3_moe');
    const { result } = await run(folder.model, folder.join('out'), recipeOf({ minimumTokens: 1000, symmetric: true }));
    expect(result.stages[0]!.fallbacks.length).toBe(result.stages[0]!.modules);
    expect(result.stages[0]!.fallbacks[0]!.reason).toMatch(/minimumTokens is 1000; rounded to nearest/);
  });

  it('refuses activations that overflow, by name', async () => {
    await using folder = await tinyModel('llama');
    const error = await failure(run(folder.model, folder.join('out'), { version: 1, stages: [{ technique: 'loud-norms' }, ...recipeOf().stages] }));
    expect(error.code).toBe('PARE_STATISTIC_NOT_FINITE');
    expect(error.place?.module).toMatch(/layers\.0/);
  });

  it.each([
    ['layers', { objective: 'layers' }],
    ['compressed inputs', { propagateErrors: true }],
    ['no scales', { gridPoints: 1 }],
    ['a symmetric grid an output', { symmetric: true, groupSize: -1, clipSearch: false }],
  ] as const)('works with %s', async (_, options) => {
    await using folder = await tinyModel('llama');
    const output = folder.join('out');
    await run(folder.model, output, recipeOf({ ...options, bits: 8 }));
    expect(difference(await logits(folder.model), await logits(output))).toBeLessThan(0.05);
  });

  it('finds the same on other backends', async () => {
    await using folder = await tinyModel('llama');
    const { result: expected } = await run(folder.model, folder.join('reference'), recipeOf({ gridPoints: 6, clipSearch: false }));
    const others: Record<string, Backend> = { cpu: await cpuBackend.create(cpuOptions.parse({}), { log }) };
    if (process.env['PARE_WEBGPU'] !== 'absent') others['webgpu'] = await webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log });
    for (const [name, backend] of Object.entries(others)) {
      await using opened = backend;
      const { result } = await run(folder.model, folder.join(name), recipeOf({ gridPoints: 6, clipSearch: false }), opened);
      expect(result.stages[0]!.loss! / expected.stages[0]!.loss!, name).toBeCloseTo(1, 2);
      for (const [index, { details }] of result.stages[0]!.reports.entries()) expect(details!['exponent'], name).toBe(expected.stages[0]!.reports[index]!.details!['exponent']);
    }
  });

  it('plans what it will store', async () => {
    await using folder = await tinyModel('llama');
    await using model = await openModel(folder.model, { architectures });
    const plans = (options: Partial<AwqOptions>): readonly ModulePlan[] =>
      awq.plan(
        model.modules.filter(({ kind }) => kind === 'linear').map((info) => ({ info, options: awqOptions.parse({ ...small, ...options }) })),
        model,
      );
    expect(plans({})[0]).toMatchObject({ produces: 'quantized', bits: 3, groupSize: 32, symmetric: false, storedBits: 64 * 64 * 3 + 64 * 2 * (32 + 3) });
    expect(plans({ quantize: false })[0]).toMatchObject({ produces: 'dense', storedBits: 64 * 64 * 32 });
    expect(findFoldSites(model.description, 0).skipped).toHaveLength(1);
  });
});
