import { defineBackend, defineFormat, noOptions, type PareError, type Plugin } from '@pare/core';
import type { CompressionRequest } from '@pare/runtime';
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dumpFormat, memoryText, probeTechnique, sampleText, startTestHost, tinyModel, type ProbeSettings } from '../index.js';

const calibration = { data: memoryText(sampleText(4000)), samples: 2, sequenceLength: 16 };
const stage = { technique: 'probe' };

let folder: Awaited<ReturnType<typeof tinyModel>>;

beforeEach(async () => {
  folder = await tinyModel('llama');
});

afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

/** The error of a request that must be refused before anything is written, and before the technique is called. */
async function refused(request: Partial<CompressionRequest>, plugins: readonly Plugin[] = [], settings: ProbeSettings = {}): Promise<PareError> {
  const before = await readdir(folder.path, { recursive: true });
  let worked = false;
  const onApply = (): void => {
    worked = true;
  };
  await using host = await startTestHost({
    cwd: folder.path,
    plugins: [probeTechnique({ onApply, ...settings }), probeTechnique({ id: 'free', scope: 'tensor', onApply }), plugins],
  });
  const error: unknown = await host
    .compress({ model: folder.model, recipe: { version: 1, stages: [stage] }, calibration, output: 'out', formats: ['dump'], backend: 'reference', ...request })
    .then(
      () => {
        throw new Error('the request was accepted');
      },
      (thrown: unknown) => thrown,
    );
  expect(worked).toBe(false);
  expect(await readdir(folder.path, { recursive: true })).toEqual(before);
  return error as PareError;
}

describe('a request is refused before any work', () => {
  it('without calibration text, or with too little of it', async () => {
    expect(await refused({ calibration: undefined })).toMatchObject({ code: 'PARE_CALIBRATION_MISSING', message: 'probe needs calibration text and none was given' });
    expect(await refused({ calibration: { ...calibration, samples: 4000 } })).toMatchObject({ code: 'PARE_CALIBRATION_TOO_SHORT', data: { needed: 64000 } });
    expect(await refused({ calibration: { ...calibration, data: 'missing.txt' } })).toMatchObject({ code: 'PARE_FILE_UNREADABLE', message: 'cannot read missing.txt: no such file' });
    expect(await refused({ calibration: { ...calibration, sequenceLength: 129 } })).toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { positions: 128 } });
    expect(await refused({ calibration: { ...calibration, samples: 0 } })).toMatchObject({ code: 'PARE_OPTIONS_INVALID' });
  });

  it('and a plan tells what it lacks without refusing', async () => {
    await using host = await startTestHost({ plugins: [probeTechnique(), probeTechnique({ id: 'trained', scope: 'training', learnsFrom: 'prompts', accepts: ['quantized'] })] });
    const request = { model: folder.model, recipe: { version: 1, stages: [stage] }, formats: ['dump'], backend: 'reference' } as const;
    const lacking = async (more: Partial<CompressionRequest>): Promise<string[]> => (await host.plan({ ...request, ...more })).missing.map(({ code, message }) => `${code} ${message}`);
    expect(await lacking({})).toEqual(['PARE_CALIBRATION_MISSING probe needs calibration text and none was given']);
    expect(await lacking({ calibration })).toEqual([]);
    expect(await lacking({ recipe: { version: 1, stages: [stage, { technique: 'trained' }] } })).toEqual([expect.stringContaining('PARE_CALIBRATION_MISSING'), 'PARE_PROMPTS_MISSING trained needs prompts and none were given']);
  });

  it('without the prompts or the text that it is to learn from', async () => {
    const training = (learnsFrom: ProbeSettings['learnsFrom'], request: Partial<CompressionRequest>) => refused(request, [], { learnsFrom, scope: 'training' });
    expect(await training('text', { calibration: undefined })).toMatchObject({ code: 'PARE_CALIBRATION_MISSING' });
    expect(await training('prompts', {})).toMatchObject({ code: 'PARE_PROMPTS_MISSING', message: 'probe needs prompts and none were given' });
    expect(await training('either', { calibration: undefined })).toMatchObject({ code: 'PARE_PROMPTS_MISSING', help: 'Give JSON lines with --prompts, or a text file with --calibration.' });
    expect(await training('prompts', { prompts: 'missing.jsonl' })).toMatchObject({ code: 'PARE_FILE_UNREADABLE', message: 'cannot read missing.jsonl: no such file' });
  });

  it('without a tokenizer', async () => {
    await rm(`${folder.model}/tokenizer.json`);
    expect(await refused({})).toMatchObject({ code: 'PARE_TOKENIZER_MISSING' });
  });

  it('for unknown plugins, with the nearest', async () => {
    expect(await refused({ backend: 'referense' })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', help: expect.stringContaining('"reference"') as string });
    expect(await refused({ formats: ['dmup'] })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', help: expect.stringContaining('"dump"') as string });
    expect(await refused({ recipe: { version: 1, stages: [{ technique: 'porbe' }] } })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', help: expect.stringContaining('"probe"') as string });
    expect(await refused({ evaluate: { evaluators: ['perplexity'] } })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', message: 'no evaluator is called "perplexity"' });
    expect(await refused({ recipe: 'gptq-w4' })).toMatchObject({ code: 'PARE_PLUGIN_UNKNOWN', message: 'no preset is called "gptq-w4"' });
  });

  it('when options do not fit a module', async () => {
    const error = await refused({ set: ['probe.groupSize=48'] });
    expect(error.code).toBe('PARE_TARGET_REFUSED');
    expect(error.message).toBe(
      'stage 1 (probe) does not fit 14 module(s): model.layers.0.self_attn.q_proj and 11 others: group size 48 does not divide its 64 inputs; ' +
        'model.layers.0.mlp.down_proj and 1 other: group size 48 does not divide its 128 inputs',
    );
  });

  it('when a block-scope technique is pointed outside the blocks', async () => {
    const error = await refused({ recipe: { version: 1, stages: [{ technique: 'probe', targets: { include: ['linear', 'head'] } }] } });
    expect(error).toMatchObject({ code: 'PARE_TARGET_REFUSED', message: expect.stringContaining('lm_head: it stands outside the blocks') as string });
  });

  it('when targets or overrides match nothing', async () => {
    const targets = { include: ['q_prj'] };
    expect(await refused({ recipe: { version: 1, stages: [{ technique: 'probe', targets }] } })).toMatchObject({ code: 'PARE_TARGET_UNMATCHED', help: expect.stringContaining('"q_proj"') as string });
    const overrides = [{ match: 'layers.7.*', options: {} }];
    expect(await refused({ recipe: { version: 1, stages: [{ technique: 'probe', overrides }] } })).toMatchObject({ code: 'PARE_TARGET_UNMATCHED' });
  });

  it('when the order of stages is impossible', async () => {
    const error = await refused({ recipe: { version: 1, stages: [{ technique: 'free' }, { technique: 'probe' }] } });
    expect(error).toMatchObject({
      code: 'PARE_RECIPE_ORDER',
      message: 'stage 2 (probe) would get model.layers.0.self_attn.q_proj quantized from stage 1 (free), and it accepts only dense weights',
    });
    // On modules of their own the two get along: with targets apart, the next check is the first to complain.
    const apart = [
      { technique: 'free', targets: { include: ['down_proj'] } },
      { technique: 'probe', targets: { exclude: ['down_proj'] } },
    ];
    expect(await refused({ recipe: { version: 1, stages: apart }, calibration: undefined })).toMatchObject({ code: 'PARE_CALIBRATION_MISSING' });
  });

  it('when a format cannot write the result', async () => {
    const narrow = defineFormat({ ...dumpFormat, id: 'narrow', accepts: ['dense'] });
    expect(await refused({ formats: ['narrow'] }, [narrow])).toMatchObject({
      code: 'PARE_FORMAT_REFUSED',
      message: expect.stringContaining('14 module(s) cannot be written: format "narrow", model.layers.0.self_attn.q_proj and 13 others: it writes no quantized weights') as string,
    });
    const picky = defineFormat({
      ...dumpFormat,
      id: 'picky',
      refuse: (_summary, plans) => [...plans.values()].filter(({ bits }) => bits !== 8).map(({ module }) => ({ module, reason: 'only 8 bits', help: 'Take 8 bits.' })),
    });
    expect(await refused({ formats: ['picky', 'dump'] }, [picky])).toMatchObject({ code: 'PARE_FORMAT_REFUSED', help: 'Take 8 bits.' });
  });

  it('when the memory limit cannot be met, with the smallest that would do', async () => {
    const error = await refused({ memory: 1e6 });
    expect(error).toMatchObject({ code: 'PARE_MEMORY_LIMIT', message: expect.stringContaining('stage 1 (probe)') as string, help: expect.stringContaining('--memory ') as string });
    const smallest = Number(error.data['needed']);
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    const plan = await host.plan({ model: folder.model, recipe: { version: 1, stages: [stage] }, calibration, formats: ['dump'], backend: 'reference', memory: smallest });
    expect(plan.hiddenStates.spilled).toBe(true);
    expect(plan.peakMemoryBytes).toBeLessThanOrEqual(smallest);
  });

  it('when the output is not ours, holds a result, or is the model itself', async () => {
    expect(await refused({ output: 'model' })).toMatchObject({ code: 'PARE_OUTPUT_FOREIGN' });
    expect(await refused({ output: '.' })).toMatchObject({ code: 'PARE_OUTPUT_FOREIGN' });
    await mkdir(folder.join('thesis'));
    await writeFile(folder.join('thesis', 'chapter-1.tex'), 'It was a dark night');
    expect(await refused({ output: 'thesis', overwrite: true })).toMatchObject({ code: 'PARE_OUTPUT_FOREIGN', message: expect.stringContaining('chapter-1.tex') as string });
    expect(await readFile(folder.join('thesis', 'chapter-1.tex'), 'utf8')).toBe('It was a dark night');
    await writeFile(`${folder.model}/pare.json`, '{"pare":1}');
    expect(await refused({ output: 'model', overwrite: true })).toMatchObject({ code: 'PARE_OUTPUT_FOREIGN', message: expect.stringContaining('the model to compress lies in it') as string });
    await mkdir(folder.join('out'));
    await writeFile(folder.join('out', 'pare.json'), '{"pare":1}');
    expect(await refused({})).toMatchObject({ code: 'PARE_OUTPUT_EXISTS', help: expect.stringContaining('--overwrite') as string });
  });

  it('when the model is broken', async () => {
    await truncate(`${folder.model}/model.safetensors`, 1000);
    expect((await refused({})).code).toMatch(/^PARE_SAFETENSORS_/);
    await rm(`${folder.model}/config.json`);
    expect((await refused({})).code).toBe('PARE_FILE_UNREADABLE');
    expect((await refused({ model: './nowhere' })).code).toBe('PARE_MODEL_NOT_FOUND');
  });

  it('when no backend runs, or the one that was asked for', async () => {
    const broken = defineBackend({
      id: 'broken',
      api: 1,
      title: 'Broken',
      summary: 'never works',
      options: noOptions,
      score: () => Promise.reject(new Error('no driver')),
      create: () => Promise.reject(new Error('no device')),
    });
    expect(await refused({ backend: 'broken' }, [broken])).toMatchObject({
      code: 'PARE_BACKEND_UNAVAILABLE',
      message: 'backend "broken" cannot run here: no device (its probe failed: no driver)',
    });
  });

  it('when evaluators lack their text or have no such option', async () => {
    const evaluator: Plugin = {
      $$type: '@pare/evaluator',
      id: 'words',
      api: 1,
      title: 'Words',
      summary: 'counts words',
      options: noOptions,
      data: 'text',
      metrics: [{ name: 'words', unit: '', direction: 'neutral', summary: 'words' }],
      evaluate: () => Promise.resolve({ metrics: { words: 1 } }),
    };
    expect(await refused({ evaluate: { evaluators: ['words'] } }, [evaluator])).toMatchObject({ code: 'PARE_DATA_MISSING' });
    expect(await refused({ evaluate: { evaluators: ['words'], data: memoryText('a b'), set: ['words.samples=3'] } }, [evaluator])).toMatchObject({ code: 'PARE_RECIPE_SET_INVALID' });
    expect(await refused({ evaluate: { evaluators: ['words'], data: memoryText('a b'), set: ['wrods.samples=3'] } }, [evaluator])).toMatchObject({
      code: 'PARE_RECIPE_SET_INVALID',
      help: expect.stringContaining('"words"') as string,
    });
    const quiz: Plugin = { ...evaluator, data: 'items' };
    expect(await refused({ evaluate: { evaluators: ['words'], data: memoryText('a b') } }, [quiz])).toMatchObject({ code: 'PARE_DATA_MISSING', help: expect.stringContaining('--items') as string });
    expect(await refused({ evaluate: { evaluators: ['words'], items: 'none.jsonl' } }, [quiz])).toMatchObject({ code: 'PARE_FILE_UNREADABLE' });
  });
});

describe('a full disk', () => {
  it('in the middle of a run keeps the journal and removes the rest', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const format = defineFormat({
      ...dumpFormat,
      id: 'full',
      write: async (context) => {
        await writeFile(`${context.directory}/half`, 'half');
        throw new Error('could not write', { cause: full });
      },
    });
    await using host = await startTestHost({ cwd: folder.path, plugins: [probeTechnique(), format] });
    const request = { model: folder.model, recipe: { version: 1 as const, stages: [stage] }, calibration, output: 'out', backend: 'reference' };
    const error = (await host.compress({ ...request, formats: ['full'] }).catch((thrown: unknown) => thrown)) as PareError;
    expect(error).toMatchObject({ code: 'PARE_DISK_FULL', help: expect.stringContaining('--resume') as string });
    expect((await readdir(folder.path)).sort()).toEqual(['model', 'out.pare-journal']);
    // Another format may take over what was computed.
    expect((await host.compress({ ...request, formats: ['dump'], resume: true })).restoredBlocks).toBe(2);
  });
});
