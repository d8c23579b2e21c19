import { apiVersion, defineEvaluator, defineTechnique, elementCount, isPareError, noOptions, type ModelRemoval, type ModelSummary, type Recipe, type Technique } from '@pare/core';
import { createBlockRunner } from '@pare/model';
import { folderHashes, leakCheckedBackend, memoryText, probeTechnique, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import type { CompressionRequest, CompressionResult } from '@pare/runtime';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { huggingFaceFormat } from './index.js';

/* Techniques of scope `model`: what they take out changes the model that later stages, formats and evaluators see. */

const options = z.strictObject({
  neurons: z.array(z.int().min(0)).default([]).describe('Neurons to take out of each block.'),
  blocks: z.array(z.int()).default([]).describe('Blocks to take out.'),
  broken: z.boolean().default(false).describe('Whether the down projection is forgotten.'),
});
type CutterOptions = z.infer<typeof options>;

interface CutterSettings {
  /** Neurons that the plan expects instead. */
  readonly expected?: readonly number[];
  onApply?(windows: readonly Int32Array[]): void;
}

/** Takes the first neurons out of each block. */
function cutter(settings: CutterSettings = {}): Technique<CutterOptions> {
  const removal = ({ modules }: ModelSummary, { neurons, blocks, broken }: CutterOptions): ModelRemoval => ({
    slices: modules.flatMap(({ name, role, block }) => {
      const length = block === undefined || blocks.includes(block) ? 0 : (neurons[block] ?? 0);
      if (length === 0 || !role.startsWith('mlp') || (broken && role === 'mlp.down')) return [];
      return [{ tensor: `${name}.weight`, axis: role === 'mlp.down' ? 1 : 0, runs: [{ start: 0, length }] }];
    }),
    removed: [],
    blocks,
  });
  return defineTechnique<CutterOptions>({
    id: 'cutter',
    api: apiVersion,
    title: 'Cutter',
    summary: 'Takes neurons and blocks out; for tests.',
    family: 'pruning',
    scope: 'model',
    options,
    accepts: ['dense'],
    produces: ['dense'],
    calibrated: ({ broken }) => !broken,
    restructure: ([target], summary) => removal(summary, { ...target!.options, neurons: [...(settings.expected ?? target!.options.neurons)] }),
    plan: (targets) => targets.map(({ info: { name, shape } }) => ({ module: name, produces: 'dense', storedBits: 32 * elementCount(shape), flops: 0, workingBytes: 0 })),
    async apply({ model, targets, windows, remove }) {
      settings.onApply?.(windows);
      await remove(removal(model, targets[0]!.options), new Map([[targets[0]!.info.name, { details: { neurons: 3 } }]]));
    },
  });
}

const stage = (given: Partial<CutterOptions>): Recipe['stages'][number] => ({ technique: 'cutter', options: given });
const probe: Recipe['stages'][number] = { technique: 'probe', options: { bits: 4 }, targets: { include: ['down_proj'] } };
const calibration = { data: memoryText(sampleText(4000)), samples: 2, sequenceLength: 16 };

let folder: Awaited<ReturnType<typeof tinyModel>>;
let outputs = 0;
const newOutput = (): string => folder.join(`out-${String(outputs++)}`);
beforeAll(async () => {
  folder = await tinyModel('llama');
});
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

async function run(stages: Recipe['stages'], settings: CutterSettings = {}, request: Partial<CompressionRequest> = {}): Promise<CompressionResult> {
  await using host = await startTestHost({ plugins: [cutter(settings), probeTechnique(), huggingFaceFormat] });
  await using backend = await leakCheckedBackend();
  return await host.compress({ model: folder.model, recipe: { version: 1, stages }, calibration, output: newOutput(), formats: ['hf'], backend, ...request });
}

const failure = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (error: unknown) => (isPareError(error) ? { code: error.code, message: error.message, help: error.help } : error));

describe('a technique of scope model', () => {
  it('makes a smaller model that opens with its own configuration', async () => {
    const { output, stages, manifest } = await run([stage({ neurons: [3, 3] })]);
    const config = JSON.parse(await readFile(`${output}/config.json`, 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ intermediate_size: 125, num_hidden_layers: 2 });
    await using host = await startTestHost();
    await using small = await host.openModel(output);
    await using large = await host.openModel(folder.model);
    // A neuron has a row in two matrices and a column in the third.
    expect(large.parameters - small.parameters).toBe(2 * 3 * 3 * 64);
    const [name] = small.modules.flatMap((module) => (module.role === 'mlp.down' ? [module.name] : []));
    expect(Array.from((await small.denseWeight(name!)).data.subarray(0, 125))).toEqual(Array.from((await large.denseWeight(name!)).data.subarray(3, 128)));
    expect(stages[0]!.reports[0]!.details).toEqual({ neurons: 3 });
    expect(manifest.stages[0]!.technique).toBe('cutter');
  });

  it('gets calibration windows when it asks for them', async () => {
    let seen: readonly Int32Array[] = [];
    await run([stage({ neurons: [1, 1] })], { onApply: (windows) => (seen = windows) });
    expect(seen.map(({ length }) => length)).toEqual([16, 16]);
  });

  it('drops blocks; the others move up', async () => {
    const { output } = await run([stage({ blocks: [0] })]);
    await using host = await startTestHost();
    await using small = await host.openModel(output);
    await using large = await host.openModel(folder.model);
    expect(small.config['num_hidden_layers']).toBe(1);
    const weight = async (model: typeof small, block: number): Promise<Float32Array> => (await model.denseWeight(`model.layers.${String(block)}.mlp.up_proj`)).data;
    expect(await weight(small, 0)).toEqual(await weight(large, 1));
  });

  it('hands what remains to the stages behind it, also when it is not what was planned', async () => {
    const { output } = await run([stage({ neurons: [3, 5] }), { ...probe, options: { bits: 4, groupSize: -1 } }], { expected: [4, 4] }, { formats: [{ id: 'hf', options: { nonUniform: true, dequantize: true } }] });
    await using host = await startTestHost();
    await using model = await host.openModel(output);
    expect(model.modules.filter(({ role }) => role === 'mlp.down').map(({ shape }) => shape[1])).toEqual([125, 123]);
    await using backend = await leakCheckedBackend();
    await using runner = await createBlockRunner({ model, backend });
    await using states = await runner.embed([Int32Array.from({ length: 8 }, (_, index) => index)]);
    await runner.advance(0, states, model);
    await runner.advance(1, states, model);
    expect((await states.read(0)).data.every((value) => Number.isFinite(value as number))).toBe(true);
  });

  it('refuses formats that cannot state its sizes before anything runs', async () => {
    let applied = false;
    const error = await failure(run([stage({ neurons: [3, 5] })], { onApply: () => (applied = true) }));
    expect(error).toMatchObject({ code: 'PARE_FORMAT_REFUSED', message: expect.stringContaining('differ between layers') as string });
    expect(applied).toBe(false);
  });

  it.each([
    [{ neurons: [2, 2], broken: true }, /down_proj\.weight would be left with shape \[64, 128\]|up_proj\.weight would be left with shape \[126, 64\]|gate_proj/],
    [{ neurons: [128, 2] }, /0 neurons/],
    [{ blocks: [0, 1] }, /no block would remain/],
    [{ blocks: [7] }, /no block 7/],
  ] as const)('refuses %j before anything runs', async (given, message) => {
    expect(await failure(run([stage(given as unknown as Partial<CutterOptions>)]))).toMatchObject({ code: 'PARE_STRUCTURE_IMPOSSIBLE', message: expect.stringMatching(message) as string });
  });

  it('says in the plan what remains', async () => {
    await using host = await startTestHost({ plugins: [cutter(), probeTechnique()] });
    const recipe: Recipe = { version: 1, stages: [stage({ neurons: [28, 28] }), probe] };
    const plan = await host.plan({ model: folder.model, recipe, calibration, formats: ['dump'], backend: 'reference' });
    await using large = await host.openModel(folder.model);
    const rows = 3 * 64 * 28 * 2;
    expect(plan.remaining).toMatchObject({ parameters: large.parameters - rows, blocks: 2 });
    expect(plan.remaining!.macs.before - plan.remaining!.macs.after).toBe(64 * rows);
    expect(plan.stages[1]!.modules.map(({ info }) => info.shape)).toEqual([[64, 100], [64, 100]]);
    expect((await host.plan({ model: folder.model, recipe: { version: 1, stages: [probe] }, calibration, formats: ['dump'], backend: 'reference' })).remaining).toBeUndefined();
  });

  it('goes on from its result after an interruption, with the same bytes', async () => {
    const stages = [stage({ neurons: [3, 3] }), probe];
    const expected = await folderHashes((await run(stages)).output);
    const output = newOutput();
    const controller = new AbortController();
    let calls = 0;
      const interrupted = async (): Promise<void> => {
      await using host = await startTestHost({ plugins: [cutter({ onApply: () => calls++ }), probeTechnique({ onApply: () => controller.abort() }), huggingFaceFormat] });
      await host.compress({ model: folder.model, recipe: { version: 1, stages }, calibration, output, formats: ['hf'], backend: 'reference', signal: controller.signal });
    };
    expect(await failure(interrupted())).toMatchObject({ code: 'PARE_ABORTED', help: expect.stringContaining('--resume') as string });
    const result = await run(stages, { onApply: () => calls++ }, { output, resume: true });
    expect(calls).toBe(1);
    expect(result.restoredBlocks).toBe(1);
    expect(result.stages[0]!.reports[0]!.details).toEqual({ neurons: 3 });
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('is evaluated as what it makes', async () => {
    const counter = defineEvaluator({
      id: 'counter',
      api: apiVersion,
      title: 'Counter',
      summary: 'Counts parameters; for tests.',
      options: noOptions,
      data: 'none',
      metrics: [{ name: 'parameters', unit: '', direction: 'lower', summary: 'parameters' }],
      evaluate: ({ model }) => Promise.resolve({ metrics: { parameters: model.parameters } }),
    });
    await using host = await startTestHost({ plugins: [cutter(), counter] });
    const recipe: Recipe = { version: 1, stages: [stage({ neurons: [28, 28] })] };
    const { metrics } = await host.evaluate({ model: folder.model, recipe: { recipe, calibration }, evaluators: ['counter'], backend: 'reference' });
    await using large = await host.openModel(folder.model);
    expect(metrics['parameters']).toBe(large.parameters - 3 * 64 * 28 * 2);
  });
});
