import { isPareError, type Backend, type Model, type Recipe } from '@pare/core';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { expectNoLeaks, fixtures, memoryText, modelLogits, sampleText, startTestHost, temporaryDirectory, tinyModel, writeSyntheticLlama, type FixtureName } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { distillLogits } from './index.js';

const calibration = { data: memoryText(sampleText(3000)), samples: 8, sequenceLength: 16 };
const recipe = (options: Recipe['stages'][number]['options']): Recipe => ({ version: 1, stages: [{ technique: 'distill-logits', options: { batchSize: 8, microBatch: 4, warmup: 2, learningRate: 0.01, ...options } }] });
const windows = Array.from({ length: 2 }, (_, window) => Int32Array.from({ length: 16 }, (_token, position) => (window * 31 + position * 7) % 160));

/** Mean squared difference of two models' logits. */
async function difference(backend: Backend, left: Model, right: Model): Promise<number> {
  const [first, second] = await Promise.all([left, right].map((model) => modelLogits(backend, model, windows)));
  return first!.reduce((sum, value, index) => sum + (value - second![index]!) ** 2, 0) / first!.length;
}

async function distill(options: Recipe['stages'][number]['options'], student: FixtureName = 'llama-tied-rope-scaled') {
  await using folder = await tinyModel(student);
  await using host = await startTestHost({ plugins: [distillLogits, cpuBackend, huggingFaceFormat] });
  await using backend = await cpuBackend.create(cpuOptions.parse({ threads: 1 }), { log: console });
  const output = folder.join('out');
  const result = await host.compress({ model: folder.model, recipe: recipe(options), calibration, output, formats: ['hf'], backend, seed: 3 });
  expectNoLeaks(backend);
  await using teacher = await host.openModel(fixtures.model('llama'));
  await using before = await host.openModel(folder.model);
  await using after = await host.openModel(output);
  const normOf = async (model: Model): Promise<unknown> => (await model.tensor('model.norm.weight')).data;
  return {
    details: result.stages[0]!.reports[0]!.details!,
    progress: host.recorded.filter(({ event, data }) => event === 'progress' && 'unit' in data && data.unit === 'steps').length,
    before: await difference(backend, teacher, before),
    after: await difference(backend, teacher, after),
    normChanged: JSON.stringify(await normOf(before)) !== JSON.stringify(await normOf(after)),
  };
}

describe('distill-logits', () => {
  it('brings a student nearer to its teacher', async () => {
    const { details, progress, before, after, normChanged } = await distill({ teacher: fixtures.model('llama'), steps: 30 });
    expect(details['lastLoss']).toBeLessThan(0.6 * details['firstLoss']!);
    expect(after).toBeLessThan(0.9 * before);
    expect(progress).toBe(30);
    expect(normChanged).toBe(true);
  });

  it('trains adapters alone on request', async () => {
    const { details, normChanged } = await distill({ teacher: fixtures.model('llama'), steps: 12, loraRank: 4, learningRate: 0.02, divergence: 'reverse', temperature: 2 });
    expect(details['lastLoss']).toBeLessThan(details['firstLoss']!);
    expect(normChanged).toBe(false);
  });

  it('has nothing to learn from the model that it starts from', async () => {
    const { details, before, after } = await distill({ steps: 2, learningRate: 1e-8 });
    expect(Math.abs(details['firstLoss']!)).toBeLessThan(1e-5);
    expect(after).toBeCloseTo(before, 4);
  });

  it('needs a text, one set of options, and a teacher of the same tokens', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillLogits] });
    const run = async (change: { recipe?: Recipe; calibration?: typeof calibration | undefined }): Promise<string> => {
      try {
        await host.compress({ model: folder.model, recipe: recipe({ steps: 1 }), calibration, output: folder.join('out'), formats: ['dump'], ...change });
      } catch (error) {
        if (isPareError(error)) return error.code;
        throw error;
      }
      return 'nothing was thrown';
    };
    expect(await run({ calibration: undefined })).toBe('PARE_CALIBRATION_MISSING');
    const [stage] = recipe({}).stages;
    expect(await run({ recipe: { version: 1, stages: [{ ...stage!, overrides: [{ match: '*.up_proj', options: { steps: 3 } }] }] } })).toBe('PARE_OPTIONS_DIFFER');
    await using other = await temporaryDirectory();
    await writeSyntheticLlama(other.path, { layers: 1, vocabulary: 128 });
    expect(await run({ recipe: recipe({ steps: 1, teacher: other.path }) })).toBe('PARE_VOCABULARY_MISMATCH');
    expect(await run({ recipe: recipe({ steps: 1, teacher: fixtures.model('llama').replace(/llama$/, 'absent') }) })).toMatch(/^PARE_(MODEL_NOT_FOUND|HUB_)/);
  });
});
