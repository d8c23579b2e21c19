import type { Backend, Model, Recipe } from '@pare/core';
import { cp } from 'node:fs/promises';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { expectNoLeaks, failure, fixtures, folderHashes, memoryText, modelLogits, sampleText, startTestHost, temporaryDirectory, tinyModel, writeSyntheticLlama, type FixtureName } from '@pare/testkit';
import { SafetensorsFile } from '@pare/model';
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

  it('goes on in the midst of training, to the same bytes', async () => {
    await using folder = await tinyModel('llama-tied-rope-scaled');
    const settings = recipe({ teacher: fixtures.model('llama'), steps: 5, microBatch: 8 });
    const run = async (output: string, given: { resume?: boolean; stopAt?: number } = {}): Promise<{ steps: number[]; error: unknown }> => {
      await using host = await startTestHost({ plugins: [distillLogits, cpuBackend, huggingFaceFormat] });
      const abort = new AbortController();
      const steps: number[] = [];
      host.events.on('progress', ({ unit, completed }) => {
        if (unit !== 'steps') return;
        steps.push(completed);
        if (completed === given.stopAt) abort.abort();
      });
      const error = await host
        .compress({ model: folder.model, recipe: settings, calibration, output, formats: ['hf'], seed: 3, resume: given.resume ?? false, signal: abort.signal, backend: 'cpu' })
        .then(() => undefined, (reason: unknown) => reason);
      return { steps, error };
    };
    const whole = folder.join('whole');
    expect(await run(whole)).toEqual({ steps: [1, 2, 3, 4, 5], error: undefined });

    const stopped = folder.join('stopped');
    const { error } = await run(stopped, { stopAt: 3 });
    expect(error).toMatchObject({ code: 'PARE_ABORTED' });
    expect((error as Error & { help: string }).help).toContain('--resume');
    // What a kill leaves is a journal, too: here that of the first run, without its lock.
    const killed = folder.join('killed');
    await cp(`${stopped}.pare-journal`, `${killed}.pare-journal`, { recursive: true, filter: (path) => !path.endsWith('lock') });
    for (const output of [stopped, killed]) {
      expect(await run(output, { resume: true })).toEqual({ steps: [4, 5], error: undefined });
      expect(await folderHashes(output)).toEqual(await folderHashes(whole));
    }
  });

  it('stops when the loss is no number, and says where the last good step is', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillLogits, cpuBackend] });
    const output = folder.join('out');
    const wild = recipe({ teacher: fixtures.model('llama-tied-rope-scaled'), steps: 4, learningRate: 1e25, warmup: 0, clipNorm: 1e30 });
    const stopped = await host.compress({ model: folder.model, recipe: wild, calibration, output, formats: ['dump'], backend: 'cpu' }).then(() => undefined, (reason: unknown) => reason);
    expect(stopped).toMatchObject({ code: 'PARE_TRAINING_DIVERGED', place: { stage: expect.stringContaining('distill-logits') as string } });
    const { data, help } = stopped as { data: { step: number; checkpoint: string }; help: string };
    expect(data.step).toBe(2);
    expect(data.checkpoint).toContain('out.pare-journal');
    expect(help).toContain(data.checkpoint);
    await using file = await SafetensorsFile.open(data.checkpoint);
    expect(file.metadata['step']).toBe('1');
    expect(file.names).toContain('parameter.model.norm.weight');
  });

  it('needs a text, one set of options, and a teacher of the same tokens', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [distillLogits] });
    const run = async (change: { recipe?: Recipe; calibration?: typeof calibration | undefined }): Promise<string> => (await failure(host.compress({ model: folder.model, recipe: recipe({ steps: 1 }), calibration, output: folder.join('out'), formats: ['dump'], ...change }))).code;
    expect(await run({ calibration: undefined })).toBe('PARE_CALIBRATION_MISSING');
    const [stage] = recipe({}).stages;
    expect(await run({ recipe: { version: 1, stages: [{ ...stage!, overrides: [{ match: '*.up_proj', options: { steps: 3 } }] }] } })).toBe('PARE_OPTIONS_DIFFER');
    await using other = await temporaryDirectory();
    await writeSyntheticLlama(other.path, { layers: 1, vocabulary: 128 });
    expect(await run({ recipe: recipe({ steps: 1, teacher: other.path }) })).toBe('PARE_VOCABULARY_MISMATCH');
    expect(await run({ recipe: recipe({ steps: 1, teacher: fixtures.model('llama').replace(/llama$/, 'absent') }) })).toMatch(/^PARE_(MODEL_NOT_FOUND|HUB_)/);
  });
});
