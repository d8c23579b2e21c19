import { env, pipeline } from '@huggingface/transformers';
import { cpuBackend } from '@pare/backend-cpu';
import { perplexity } from '@pare/evaluator-perplexity';
import { onnxFormat } from '@pare/format-onnx';
import { rtn } from '@pare/technique-rtn';
import { svd } from '@pare/technique-svd';
import { svdLlm } from '@pare/technique-svd-llm';
import { startTestHost, temporaryDirectory, tinyModel, type TemporaryDirectory, type TestHost } from '@pare/testkit';
import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import presets from './index.js';

const example = (path: string): string => fileURLToPath(new URL(`../../../examples/${path}`, import.meta.url));
const model = example('models/tales-7m');
const calibration = { data: example('data/tales-calibration.txt'), samples: 16, sequenceLength: 128 };
const evaluation = { evaluators: ['perplexity'], data: example('data/tales-evaluation.txt'), set: ['perplexity.samples=8', 'perplexity.sequenceLength=128'], backend: 'cpu' };
const stage = (technique: string, options: Readonly<Record<string, unknown>>) => ({ technique, options });
/** Two of the eight blocks. */
const targets = { include: ['model.layers.0.*', 'model.layers.5.*'] };
const svdLlmThenRtn = {
  version: 1,
  stages: [
    { ...stage('svd-llm', { ratio: 0.8, multipleOf: 32 }), targets },
    { ...stage('rtn', { bits: 8, groupSize: 32 }), targets },
  ],
} as const;

describe('factors of tales-7m', () => {
  let host: TestHost;
  let folder: TemporaryDirectory;
  beforeAll(async () => {
    env.allowRemoteModels = false;
    host = await startTestHost({ plugins: [presets, svd, svdLlm, rtn, perplexity, cpuBackend, onnxFormat] });
    folder = await temporaryDirectory();
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const perplexityOf = async (request: Partial<Parameters<TestHost['evaluate']>[0]> = {}): Promise<number> => (await host.evaluate({ model, ...evaluation, ...request })).metrics['perplexity']!;

  const write = (recipe: Exclude<Parameters<TestHost['compress']>[0]['recipe'], undefined>, name: string, options: Readonly<Record<string, unknown>>) =>
    host.compress({ model, recipe, calibration, output: folder.join(name), formats: [{ id: 'onnx', options }], backend: 'cpu' });
  const exported = async (name: string): Promise<number> => (await stat(folder.join(`${name}/onnx/model.onnx`))).size;

  it('that change outputs least beat those that change weights least at equal size, run in transformers.js, and take less room than the matrices', async () => {
    await write('svd-llm-80', 'factors', { dtype: ['fp32'] });
    const whitened = await perplexityOf({ model: folder.join('factors/onnx/model.onnx'), original: model });
    expect(whitened).toBeGreaterThan(await perplexityOf());
    expect(await perplexityOf({ recipe: { recipe: 'svd-80' } })).toBeGreaterThan(whitened);
    // One small matrix of rank 1, in an export that is dense otherwise.
    await write({ version: 1, stages: [{ ...stage('svd', { by: 'rank', rank: 1 }), targets: { include: ['model.layers.0.self_attn.k_proj'] } }] }, 'dense', { dtype: ['fp32'] });
    expect((await exported('factors')) / (await exported('dense'))).toBeLessThan(0.87);
    const generator = await pipeline('text-generation', folder.join('factors'), { dtype: 'fp32', device: 'cpu' });
    try {
      const [output] = (await generator('Once upon a time', { max_new_tokens: 12, do_sample: false })) as { generated_text: string }[];
      expect(output!.generated_text).toMatch(/^Once upon a time, there was a \w+ \w+ \w+/);
    } finally {
      await generator.dispose();
    }
  }, 600_000);

  it('are rounded to codes, as planned, and the written file has the perplexity of what was evaluated in memory', async () => {
    const planned = await host.plan({ model, recipe: svdLlmThenRtn, calibration, formats: ['onnx'], backend: 'cpu' });
    // [256, 256] four fifths of 128, down to a multiple of 32: 96. Codes of 8 bits, and a bfloat16 scale for every 32 of them.
    expect(planned.stages[1]!.modules[0]).toMatchObject({ produces: 'factorized', rank: 96, bits: 8, groupSize: 32, storedBits: 96 * 512 * (8 + 16 / 32) });
    const { manifest } = await write(svdLlmThenRtn, 'codes', { accuracyLevel: 0 });
    expect(manifest.stages[1]!.modules[0]).toMatchObject({ rank: 96, bits: 8 });
    const inMemory = await perplexityOf({ recipe: { recipe: svdLlmThenRtn, calibration } });
    const file = manifest.formats[0]!.files.find(({ path }) => path.endsWith('.onnx'))!.path;
    expect(Math.abs((await perplexityOf({ model: folder.join(`codes/${file}`), original: model })) / inMemory - 1)).toBeLessThan(1e-4);
  }, 600_000);
});

describe('factors and codes in one recipe', () => {
  it('are refused, before anything runs, where groups do not divide a rank', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [svd, rtn] });
    const recipe = { version: 1, stages: [stage('svd', { ratio: 0.8 }), stage('rtn', { groupSize: 32 })] } as const;
    await expect(host.plan({ model: folder.model, recipe, formats: ['dump'], backend: 'reference' })).rejects.toMatchObject({
      code: 'PARE_TARGET_REFUSED',
      message: expect.stringMatching(/stage 2 \(rtn\).*groupSize 32 does not divide its rank, 25.*multipleOf: 32/s) as string,
    });
  });

  it('keep a left factor whose rank came out of the weights, and say so', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [svd, rtn, onnxFormat] });
    const recipe = { version: 1, stages: [stage('svd', { by: 'energy', energy: 0.5 }), stage('rtn', { groupSize: 32 })] } as const;
    const { manifest } = await host.compress({ model: folder.model, recipe, output: folder.join('out'), formats: ['onnx'], backend: 'reference' });
    const fallbacks = manifest.stages[1]!.modules.map(({ fallback }) => fallback ?? '');
    expect(fallbacks.some((reason) => /left factor stays as it is: groupSize 32 does not divide its rank/.test(reason))).toBe(true);
  });

  it('are refused the other way round: a factorization takes no codes', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [svd, rtn] });
    const recipe = { version: 1, stages: [stage('rtn', { groupSize: 32 }), stage('svd', {})] } as const;
    await expect(host.plan({ model: folder.model, recipe, formats: ['dump'], backend: 'reference' })).rejects.toMatchObject({ code: 'PARE_RECIPE_ORDER' });
  });
});
