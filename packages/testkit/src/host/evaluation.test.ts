import { defineEvaluator, noOptions, type Evaluator, type Plugin } from '@pare/core';
import type { EvaluationReport, EvaluationRequest, PackagedPlugin } from '@pare/runtime';
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { folderHashes, memoryText, probeTechnique, sampleText, startTestHost, temporaryDirectory, tinyModel, type TemporaryDirectory, type TestHost } from '../index.js';

let folder: Awaited<ReturnType<typeof tinyModel>>;
let calls: string[];

/** Sums −ln p of a few tokens in two pieces, and says that it ran. */
function evaluator(id: string, more: Partial<Pick<Evaluator, 'reads' | 'measures' | 'original' | 'data'>> = {}): Evaluator<{ count: number }> {
  return defineEvaluator({
    id,
    api: 1,
    title: id,
    summary: 'sums',
    options: z.strictObject({ count: z.int().default(8).describe('tokens') }),
    data: 'text',
    reads: 'predictions',
    metrics: [{ name: id, unit: '', direction: 'lower', summary: 'sum' }],
    ...more,
    async evaluate({ predictor, originalPredictor, options, checkpoint, tokenizer, data, seed }) {
      calls.push(id);
      const ids = data === undefined ? Int32Array.from({ length: options.count }, (_, index) => index) : (await tokenizer()).encode(await data.text()).slice(0, options.count);
      const sum = async (side: typeof predictor | undefined): Promise<number> => {
        const losses = side === undefined ? [] : await side.negativeLogLikelihood([ids]);
        return losses.reduce((total, values) => total + values.reduce((a, b) => a + b, 0), 0);
      };
      const own = await checkpoint.piece('own', async () => (calls.push(`${id} own`), sum(predictor)));
      if (options.count === 13) throw new Error('unlucky');
      const other = await checkpoint.piece('other', async () => (calls.push(`${id} other`), sum(originalPredictor)));
      return { metrics: { [id]: own - other }, details: { seed } };
    },
  }) as Evaluator<{ count: number }>;
}

const packaged = (plugin: Plugin, version = '1.0.0'): PackagedPlugin => ({ plugin, package: `pkg-${plugin.id}`, version });

let cache: TemporaryDirectory;
let host: TestHost;
beforeAll(async () => {
  folder = await tinyModel('llama');
});
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});
beforeEach(async () => {
  calls = [];
  cache = await temporaryDirectory();
  host = await startTestHost({
    plugins: [
      packaged(evaluator('sum')),
      packaged(evaluator('compared', { original: 'required' })),
      packaged(evaluator('clock', { measures: 'machine' })),
      packaged(evaluator('glance', { reads: 'summary', data: 'none' })),
      evaluator('nameless'),
      packaged(probeTechnique()),
    ],
    cacheDirectory: cache.path,
  });
  return async () => {
    await host[Symbol.asyncDispose]();
    await cache[Symbol.asyncDispose]();
  };
});

const text = memoryText(sampleText(400), 'prose');
const evaluate = (request: Partial<EvaluationRequest> & Pick<EvaluationRequest, 'evaluators'>): Promise<EvaluationReport> => host.evaluate({ model: folder.model, data: text, backend: 'reference', ...request });
const cachedOf = ({ evaluations }: EvaluationReport): boolean[] => evaluations.map(({ cached }) => cached);

describe('results of evaluations', () => {
  it('are kept by what they follow from, whatever else is evaluated beside them', async () => {
    const first = await evaluate({ evaluators: ['sum'] });
    const second = await evaluate({ evaluators: ['nameless', 'sum'] });
    expect([cachedOf(first), cachedOf(second)]).toEqual([[false], [false, true]]);
    expect(second.evaluations[1]).toEqual({ ...first.evaluations[0], cached: true, restoredPieces: undefined });
    const copy = join(folder.path, 'copy');
    await cp(folder.model, copy, { recursive: true });
    expect(cachedOf(await evaluate({ evaluators: ['sum'], model: copy }))).toEqual([true]);
    expect(calls.filter((call) => call === 'sum')).toHaveLength(1);
  });

  it.each<[string, Partial<EvaluationRequest>]>([
    ['other options', { evaluators: [{ id: 'sum', options: { count: 9 } }] }],
    ['another text', { data: memoryText(sampleText(400, 2), 'prose') }],
    ['another backend', { backend: 'null' }],
    ['another seed', { seed: 3 }],
    ['no cache', { cache: false }],
  ])('do not answer for %s', async (_, changed) => {
    await evaluate({ evaluators: ['sum'] });
    expect(cachedOf(await evaluate({ evaluators: ['sum'], ...changed }))).toEqual([false]);
    expect(cachedOf(await evaluate({ evaluators: ['sum'] }))).toEqual([true]);
  });

  it('do not answer for a model with one other byte, or another tokenizer', async () => {
    await evaluate({ evaluators: ['sum'] });
    for (const name of ['model.safetensors', 'tokenizer.json']) {
      const changed = join(folder.path, `changed-${name}`);
      await cp(folder.model, changed, { recursive: true });
      const bytes = await readFile(join(changed, name));
      // The last weight's lowest bits, or a space behind the document.
      if (name === 'tokenizer.json') await writeFile(join(changed, name), `${bytes.toString()} `);
      else await writeFile(join(changed, name), bytes.fill(bytes.at(-2)! ^ 1, bytes.length - 2, bytes.length - 1));
      expect(cachedOf(await evaluate({ evaluators: ['sum'], model: changed }))).toEqual([false]);
    }
  });

  it('that compare depend on the original, too', async () => {
    const other = join(folder.path, 'original');
    await cp(folder.model, other, { recursive: true });
    await writeFile(join(other, 'tokenizer.json'), `${await readFile(join(other, 'tokenizer.json'), 'utf8')} `);
    const request = { evaluators: ['compared', 'sum'] };
    expect(cachedOf(await evaluate({ ...request, original: folder.model }))).toEqual([false, false]);
    expect(cachedOf(await evaluate({ ...request, original: other }))).toEqual([false, true]);
    expect(cachedOf(await evaluate({ ...request, original: folder.model }))).toEqual([true, true]);
  });

  it('are never kept where they measure this machine, come at once, or are of code or a model that nobody can name', async () => {
    for (let run = 0; run < 2; run++) expect(cachedOf(await evaluate({ evaluators: ['clock', 'glance', 'nameless'] }))).toEqual([false, false, false]);
    await using model = await host.openModel(folder.model);
    for (let run = 0; run < 2; run++) expect(cachedOf(await evaluate({ evaluators: ['sum'], model }))).toEqual([false]);
  });

  it('of another version of the evaluator are not taken', async () => {
    await evaluate({ evaluators: ['sum'] });
    await using later = await startTestHost({ plugins: [packaged(evaluator('sum'), '1.0.1')], cacheDirectory: cache.path });
    expect(cachedOf(await later.evaluate({ model: folder.model, data: text, backend: 'reference', evaluators: ['sum'] }))).toEqual([false]);
  });

  it('that are damaged are ignored with a warning', async () => {
    const first = await evaluate({ evaluators: ['sum'] });
    const [group] = await readdir(cache.join('results'));
    const [name] = await readdir(cache.join('results', group!));
    await writeFile(cache.join('results', group!, name!), '{}');
    const again = await evaluate({ evaluators: ['sum'] });
    expect([cachedOf(again), again.metrics]).toEqual([[false], first.metrics]);
    expect(host.recorded.filter(({ event }) => event === 'warning')).toEqual([{ event: 'warning', data: { code: 'PARE_CACHE', message: expect.stringContaining('is damaged and ignored') as string } }]);
  });

  it('are not kept without a folder', async () => {
    await using plain = await startTestHost({ plugins: [packaged(evaluator('sum'))] });
    for (let run = 0; run < 2; run++) expect(cachedOf(await plain.evaluate({ model: folder.model, data: text, backend: 'reference', evaluators: ['sum'], resume: true }))).toEqual([false]);
  });
});

describe('an evaluation that stopped', () => {
  it('goes on with --resume at the pieces it had, and begins again without', async () => {
    // 13 tokens fail behind the first piece.
    const unlucky = { evaluators: [{ id: 'sum', options: { count: 13 } }] };
    await expect(evaluate(unlucky)).rejects.toMatchObject({ code: 'PARE_PLUGIN_FAILED' });
    expect(await readdir(cache.join('progress'))).toHaveLength(1);
    calls = [];
    await expect(evaluate({ ...unlucky, resume: true })).rejects.toMatchObject({ code: 'PARE_PLUGIN_FAILED' });
    expect(calls).toEqual(['sum']);
    calls = [];
    await expect(evaluate(unlucky)).rejects.toMatchObject({ code: 'PARE_PLUGIN_FAILED' });
    expect(calls).toEqual(['sum', 'sum own']);
    await expect(evaluate({ ...unlucky, seed: 5, resume: true })).rejects.toMatchObject({ code: 'PARE_PLUGIN_FAILED' });
    expect(calls).toEqual(['sum', 'sum own', 'sum', 'sum own']);
  });
});

describe('a recipe in memory', () => {
  const recipe = { recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 3 } }] }, calibration: { data: text, samples: 3, sequenceLength: 16 } } as const;

  it('is applied without a trace, and compared with the model it came from', async () => {
    const before = await folderHashes(folder.model);
    const report = await evaluate({ evaluators: ['sum', 'compared'], recipe });
    const plain = await evaluate({ evaluators: ['sum'] });
    expect(report.recipe?.stages[0]).toMatchObject({ technique: 'probe', options: { bits: 3 } });
    expect(report.metrics['sum']).not.toBe(plain.metrics['sum']);
    expect(report.metrics['compared']).toBeCloseTo(report.metrics['sum']! - plain.metrics['sum']!, 6);
    expect(await folderHashes(folder.model)).toEqual(before);
    expect(await readdir(cache.join('recipes'))).toEqual([]);

    const output = folder.join('written');
    await host.compress({ model: folder.model, ...recipe, formats: ['dump'], output, backend: 'reference', evaluate: { evaluators: ['sum'], data: text } });
    const manifest = JSON.parse(await readFile(join(output, 'pare.json'), 'utf8')) as { metrics: { after: Record<string, number> } };
    expect(manifest.metrics.after['sum']).toBe(report.metrics['sum']);
    await rm(output, { recursive: true });
  });

  it('is not applied when its results are known, nor for what a summary tells', async () => {
    const stages = (): number => host.recorded.filter(({ event }) => event === 'stage:start').length;
    await evaluate({ evaluators: ['glance'], recipe: { ...recipe, recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 5 } }] } }, data: undefined });
    // The evaluator asked for predictions all the same, and got them.
    expect(stages()).toBe(1);
    const first = await evaluate({ evaluators: ['sum'], recipe });
    expect(stages()).toBe(2);
    const again = await evaluate({ evaluators: ['sum'], recipe });
    expect([stages(), cachedOf(again), again.metrics]).toEqual([2, [true], first.metrics]);
    expect(cachedOf(await evaluate({ evaluators: ['sum'], recipe: { ...recipe, calibration: { ...recipe.calibration, samples: 4 } } }))).toEqual([false]);
  });

  it('of code that nobody can name is applied anew every time', async () => {
    await using unnamed = await startTestHost({ plugins: [packaged(evaluator('sum')), probeTechnique()], cacheDirectory: cache.path });
    for (let run = 0; run < 2; run++) expect(cachedOf(await unnamed.evaluate({ model: folder.model, data: text, backend: 'reference', evaluators: ['sum'], recipe }))).toEqual([false]);
  });

  it('goes on at its last finished block with --resume', async () => {
    let applied = 0;
    let stopAt = 2;
    const counting = probeTechnique({ onApply: () => (++applied === stopAt ? Promise.reject(new Error('stopped')) : Promise.resolve()) });
    await using stopping = await startTestHost({ plugins: [packaged(evaluator('sum')), packaged(counting)], cacheDirectory: cache.path });
    const run = (resume: boolean): Promise<EvaluationReport> => stopping.evaluate({ model: folder.model, data: text, backend: 'reference', evaluators: ['sum'], recipe, resume });
    await expect(run(false)).rejects.toMatchObject({ code: 'PARE_PLUGIN_FAILED' });
    stopAt = 0;
    applied = 0;
    const resumed = await run(true);
    // Of two blocks the first was done.
    expect(applied).toBe(1);
    expect(resumed.metrics).toEqual((await evaluate({ evaluators: ['sum'], recipe, cache: false })).metrics);
    expect(await readdir(cache.join('recipes'))).toEqual([]);
  });

  it('is refused where compress would refuse it', async () => {
    await expect(evaluate({ evaluators: ['sum'], recipe: { ...recipe, calibration: undefined } })).rejects.toMatchObject({ code: 'PARE_CALIBRATION_MISSING' });
    await expect(evaluate({ evaluators: ['sum'], recipe: { recipe: 'no-such' } })).rejects.toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN' });
    expect(calls).toEqual([]);
  });
});

describe('defineEvaluator', () => {
  it('needs no word about what it reads', async () => {
    const plain = defineEvaluator({ id: 'plain', api: 1, title: 'Plain', summary: 'x', options: noOptions, data: 'none', metrics: [{ name: 'n', unit: '', direction: 'neutral', summary: 'n' }], evaluate: ({ model }) => Promise.resolve({ metrics: { n: model.tensors.length } }) });
    await using other = await startTestHost({ plugins: [packaged(plain)], cacheDirectory: cache.path });
    const run = (): Promise<EvaluationReport> => other.evaluate({ model: folder.model, evaluators: ['plain'], backend: 'null' });
    expect([cachedOf(await run()), cachedOf(await run())]).toEqual([[false], [true]]);
  });
});
