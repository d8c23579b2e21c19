import { float32Tensor, hostTensor, type DenseWeight, type QuantizedWeight } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hasUnfinishedRun, Journal, journalFolder, journalState, type ModuleOutcome } from './journal.js';
import { differences, type JournalInputs } from './journal-inputs.js';
import { loadModelLibrary } from './model-library.js';

const library = await loadModelLibrary();

const inputs: JournalInputs = {
  recipe: { version: 1, stages: [{ technique: 'gptq', options: { bits: 4 } }] },
  model: [{ path: 'model.safetensors', bytes: 10, modified: '2020-01-01T00:00:00.000Z', head: 'abc' }],
  calibration: null,
  seed: 0,
  backend: 'reference',
  plugins: { 'technique gptq': '@pare/technique-gptq 0.1.0' },
};

const quantized: QuantizedWeight = {
  form: 'quantized',
  shape: [2, 6],
  scheme: { bits: 3, symmetric: false, granularity: 'group', groupSize: 4 },
  codes: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4),
  scales: Float32Array.of(0.5, 0.25, 0.125, 1),
  scaleType: 'float16',
  zeros: Uint8Array.of(1, 2, 3, 4),
  groupIndex: Int32Array.of(0, 1, 0, 1, 0, 1),
};

const outcomes = new Map<string, ModuleOutcome>([
  ['model.layers.0.q', { form: quantized, report: { loss: 0.1 + 0.2, details: { rows: 3 } } }],
  ['model.layers.0.k', { form: { form: 'dense', shape: [2, 2], tensor: float32Tensor([2, 2], [1, 2, 3, 4]) }, report: { fallback: 'no tokens' } }],
  ['model.layers.0.v', { form: { form: 'dense', shape: [1, 2], tensor: hostTensor('bfloat16', [1, 2], Uint16Array.of(1, 2)) }, report: {} }],
]);

const parameters = new Map<string, DenseWeight>([
  ['model.layers.0.norm.weight', { form: 'dense', shape: [3], tensor: hostTensor('bfloat16', [3], Uint16Array.of(1, 2, 3)) }],
  ['model.layers.0.router.weight', { form: 'dense', shape: [1, 2], tensor: float32Tensor([1, 2], [5, 6]) }],
]);

let folder = '';
let output = '';
const key = { stage: 0, block: 0 };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-journal-'));
  output = join(folder, 'out');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const open = (given: Partial<Parameters<typeof Journal.open>[0]> = {}): Promise<Journal> => Journal.open({ files: defaultFiles, output, inputs, resume: false, overwrite: false, ...given }, library);

describe('Journal', () => {
  it('gives back forms and reports bit for bit after it was opened again', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await first.write({ stage: 1, block: undefined }, { modules: new Map(), parameters: new Map() });
    await first.release();
    const second = await open({ resume: true });
    expect(await second.summary(key)).toEqual({ reports: new Map([...outcomes].map(([module, { report }]) => [module, report])), parameters: [...parameters.keys()] });
    for (const [module, { form }] of outcomes) expect(await second.form(key, module)).toEqual(form);
    for (const [name, weight] of parameters) expect(await second.form(key, name)).toEqual(weight);
    expect(await second.summary({ stage: 1, block: undefined })).toEqual({ reports: new Map(), parameters: [] });
    expect(await second.summary({ stage: 0, block: 1 })).toBeUndefined();
    await second.release();
  });

  it('is reported when it is found and neither resumed nor overwritten', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await first.release();
    expect(await hasUnfinishedRun(defaultFiles, output)).toBe(true);
    await expect(open()).rejects.toMatchObject({ code: 'PARE_JOURNAL_EXISTS' });
    const fresh = await open({ overwrite: true });
    expect(await fresh.summary(key)).toBeUndefined();
    await fresh.release();
  });

  it('leaves nothing when nothing was finished', async () => {
    await (await open()).release();
    expect(await readdir(folder)).toEqual([]);
    expect(await hasUnfinishedRun(defaultFiles, output)).toBe(false);
    // A run that was killed before its first batch leaves a folder that the next run takes over.
    await open();
    await writeFile(join(journalFolder(output), 'lock'), '2147483646');
    expect(await hasUnfinishedRun(defaultFiles, output)).toBe(false);
  });

  it('refuses to continue a run of other inputs, and names what differs', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await first.release();
    const other: JournalInputs = { ...inputs, seed: 7, recipe: { version: 1, stages: [{ technique: 'gptq', options: { bits: 3 } }] } };
    await expect(open({ resume: true, inputs: other })).rejects.toMatchObject({
      code: 'PARE_RESUME_MISMATCH',
      message: expect.stringContaining('recipe.stages[0].options.bits was 4, is 3; seed was 0, is 7') as string,
    });
    // The refused attempt took neither the lock nor the batches.
    await (await open({ resume: true })).release();
  });

  it('remembers whether the run may replace an output', async () => {
    const first = await open({ overwrite: true });
    await first.write(key, { modules: outcomes, parameters });
    await first.release();
    const state = await journalState(defaultFiles, output);
    expect(state?.overwrite).toBe(true);
    expect(state?.bytes).toBeGreaterThan(0);
  });

  it('takes a damaged batch for unfinished', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await first.release();
    await truncate(join(journalFolder(output), 'stage-0-block-0.safetensors'), 60);
    const second = await open({ resume: true });
    expect(await second.summary(key)).toBeUndefined();
    await second.release();
  });

  it('ignores a batch that was being written when the run was killed', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await writeFile(join(journalFolder(output), 'stage-0-block-1.safetensors.partial'), 'half');
    await first.release();
    const second = await open({ resume: true });
    expect(await second.summary({ stage: 0, block: 1 })).toBeUndefined();
    await second.release();
  });

  it('is locked against other runs, here and in other processes, but not by dead ones', async () => {
    const first = await open();
    await first.write(key, { modules: outcomes, parameters });
    await expect(open({ resume: true })).rejects.toMatchObject({ code: 'PARE_OUTPUT_BUSY' });
    await first.release();
    const lock = join(journalFolder(output), 'lock');
    await writeFile(lock, String(process.ppid));
    await expect(open({ resume: true })).rejects.toMatchObject({ code: 'PARE_OUTPUT_BUSY', data: { process: process.ppid } });
    await writeFile(lock, '2147483646');
    const second = await open({ resume: true });
    expect(await readFile(lock, 'utf8')).toBe(String(process.pid));
    await second.release();
  });

  it('keeps notes', async () => {
    const journal = await open();
    expect(await journal.note('metrics')).toBeUndefined();
    await journal.writeNote('metrics', { perplexity: 12.5 });
    expect(await journal.note('metrics')).toEqual({ perplexity: 12.5 });
    await journal.remove();
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('differences', () => {
  it('are few and short', () => {
    expect(differences({ a: 1 }, { a: 1 })).toEqual([]);
    expect(differences({ a: [1, 2] }, { a: [1] })).toEqual(['a[1] was 2, is absent']);
    expect(differences({ a: null }, { a: { b: 1 } })).toEqual(['a was null, is {"b":1}']);
    expect(differences(Array.from({ length: 20 }, () => 0), Array.from({ length: 20 }, () => 1))).toHaveLength(5);
    expect(differences({ a: 'x'.repeat(100) }, { a: '' })[0]!.length).toBeLessThan(70);
  });
});
