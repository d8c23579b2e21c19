import { isPareError, type PareError, type Recipe, type TechniqueContext } from '@pare/core';
import type { CompressionRequest, CompressionResult } from '@pare/runtime';
import { cp, mkdir, readdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { folderHashes, leakCheckedBackend, memoryText, probeTechnique, sampleText, startTestHost, tinyModel, type ProbeSettings } from '../index.js';

const calibration = { data: memoryText(sampleText(4000)), samples: 3, sequenceLength: 16 };
const recipe: Recipe = {
  version: 1,
  stages: [
    { technique: 'probe', options: { bits: 3, sequential: true } },
    { technique: 'probe-again', options: { bits: 8 }, targets: { include: ['down_proj'] } },
  ],
};

let folder: Awaited<ReturnType<typeof tinyModel>>;
let expected: Record<string, string>;
let outputs = 0;
const newOutput = (): string => folder.join(`out-${String(outputs++)}`);

async function run(output: string, settings: ProbeSettings = {}, request: Partial<CompressionRequest> = {}): Promise<CompressionResult> {
  await using host = await startTestHost({ plugins: [probeTechnique(settings), probeTechnique({ ...settings, id: 'probe-again', accepts: ['quantized'] })] });
  // Tensors must not be left behind when a run stops, either.
  await using backend = await leakCheckedBackend();
  return await host.compress({ model: folder.model, recipe, calibration, output, formats: ['dump'], backend, ...request });
}

/** Runs until the given call of a technique (counted over both stages) and aborts inside it. */
async function runUntil(call: number, output: string, request: Partial<CompressionRequest> = {}): Promise<PareError> {
  const controller = new AbortController();
  let calls = 0;
  const onApply = (): void => {
    if (calls++ === call) controller.abort();
  };
  const error: unknown = await run(output, { onApply }, { signal: controller.signal, ...request }).catch((thrown: unknown) => thrown);
  if (!isPareError(error)) throw error;
  return error;
}

beforeAll(async () => {
  folder = await tinyModel('llama');
  for (const name of ['config.json', 'model.safetensors']) await utimes(`${folder.model}/${name}`, 1e9, 1e9);
  const output = newOutput();
  await run(output);
  expected = await folderHashes(output);
});

afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});

describe('a cancelled run', () => {
  it('keeps finished blocks, removes the rest, and says how to go on', async () => {
    const output = newOutput();
    // Block 0 takes four steps, so call 5 is inside block 1.
    const error = await runUntil(5, output);
    expect(error).toMatchObject({ code: 'PARE_ABORTED', message: 'compression was cancelled', help: expect.stringContaining('--resume') as string });
    const names = (await readdir(folder.path)).filter((name) => name.startsWith(output.slice(folder.path.length + 1)));
    expect(names).toEqual([`${output.slice(folder.path.length + 1)}.pare-journal`]);
    expect((await readdir(`${output}.pare-journal`)).sort()).toEqual(['journal.json', 'stage-0-block-0.safetensors']);
  });

  it('leaves nothing when no block was finished', async () => {
    const output = newOutput();
    const before = await readdir(folder.path);
    const error = await runUntil(1, output);
    expect(error).toMatchObject({ code: 'PARE_ABORTED', help: expect.stringContaining('Nothing was written') as string });
    expect(await readdir(folder.path)).toEqual(before);
  });

  it('before it started does no work', async () => {
    const output = newOutput();
    await expect(run(output, {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });

  it('ends when its host is closed', async () => {
    const output = newOutput();
    const host = await startTestHost({ plugins: [probeTechnique({ onApply: () => void host.close() }), probeTechnique({ id: 'probe-again', accepts: ['quantized'] })] });
    await expect(host.compress({ model: folder.model, recipe, calibration, output, formats: ['dump'], backend: 'reference' })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    await expect(host.compress({ model: folder.model, recipe, calibration, output, formats: ['dump'] })).rejects.toMatchObject({ code: 'PARE_HOST_CLOSED' });
  });
});

describe('a resumed run', () => {
  it.each([
    ['in the second block', 5, 1],
    ['at the start of the second stage', 8, 2],
    ['in the second stage', 9, 3],
  ])('stopped %s ends with the same bytes as one that ran through', async (_, call, restored) => {
    const output = newOutput();
    await runUntil(call, output);
    const result = await run(output, {}, { resume: true });
    expect(result.restoredBlocks).toBe(restored);
    expect(await folderHashes(output)).toEqual(expected);
    expect(await readdir(folder.path)).not.toContain(`${output.slice(folder.path.length + 1)}.pare-journal`);
  });

  it('may be stopped again and again', async () => {
    const output = newOutput();
    await runUntil(4, output);
    // The first block is restored; of the second one's four steps two are done.
    await runUntil(2, output, { resume: true });
    await runUntil(4, output, { resume: true });
    await runUntil(1, output, { resume: true });
    const result = await run(output, {}, { resume: true });
    expect(result.restoredBlocks).toBe(3);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('may be stopped while the output is written', async () => {
    const output = newOutput();
    const controller = new AbortController();
    await using host = await startTestHost({ plugins: [probeTechnique(), probeTechnique({ id: 'probe-again', accepts: ['quantized'] })] });
    host.events.on('format:start', () => {
      controller.abort();
    });
    const request = { model: folder.model, recipe, calibration, output, formats: ['dump'], backend: 'reference' };
    await expect(host.compress({ ...request, signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    host.events.removeAllListeners('format:start');
    expect((await host.compress({ ...request, resume: true })).restoredBlocks).toBe(4);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('computes a block anew whose file was damaged', async () => {
    const output = newOutput();
    await runUntil(8, output);
    await truncate(`${output}.pare-journal/stage-0-block-0.safetensors`, 100);
    expect((await run(output, {}, { resume: true })).restoredBlocks).toBe(1);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('starts from the beginning when there is nothing to continue', async () => {
    const output = newOutput();
    expect((await run(output, {}, { resume: true })).restoredBlocks).toBe(0);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('is refused for other inputs, with what differs', async () => {
    const output = newOutput();
    await runUntil(5, output);
    const differing = async (request: Partial<CompressionRequest>): Promise<unknown> =>
      run(output, {}, { resume: true, ...request }).catch((error: unknown) => [(error as PareError).code, (error as PareError).data['differences']]);
    expect(await differing({ seed: 1 })).toEqual(['PARE_RESUME_MISMATCH', ['seed was 0, is 1']]);
    expect(await differing({ set: ['probe.bits=4'] })).toEqual(['PARE_RESUME_MISMATCH', ['recipe.stages[0].options.bits was 3, is 4']]);
    expect(await differing({ calibration: { ...calibration, samples: 2 } })).toEqual(['PARE_RESUME_MISMATCH', expect.arrayContaining(['calibration.samples was 3, is 2']) as string[]]);
    const otherText = { ...calibration, data: memoryText(`${sampleText(4000)} Another end.`) };
    expect(await differing({ calibration: otherText })).toEqual(['PARE_RESUME_MISMATCH', [expect.stringContaining('calibration.text') as string]]);

    const copy = folder.join('copy');
    await cp(folder.model, copy, { recursive: true, preserveTimestamps: true });
    await utimes(`${copy}/model.safetensors`, 1, 1);
    expect(await differing({ model: copy })).toEqual(['PARE_RESUME_MISMATCH', expect.arrayContaining([expect.stringMatching(/^model.1..modified was .*/)]) as string[]]);
    // The journal is as it was.
    await run(output, {}, { resume: true });
    expect(await folderHashes(output)).toEqual(expected);
  });
});

describe('the work folder of a call', () => {
  it('outlives a run that stops, is found by the next, and goes with the results', async () => {
    const output = newOutput();
    const found: string[] = [];
    const controller = new AbortController();
    let calls = 0;
    const onApply = async ({ work: { files, path } }: TechniqueContext<unknown>): Promise<void> => {
      const file = files.path.join(path, 'notes');
      found.push((await files.status(file)) === undefined ? 'nothing' : await files.readText(file));
      await files.makeFolder(path);
      await files.writeText(file, String(calls));
      if (calls++ === 1) controller.abort();
    };
    const stopped = run(output, { onApply }, { signal: controller.signal });
    await expect(stopped).rejects.toMatchObject({ code: 'PARE_ABORTED', help: expect.stringContaining('--resume') as string });
    expect((await readdir(`${output}.pare-journal`)).sort()).toEqual(['journal.json', 'stage-0-block-0.work']);
    await expect(run(output)).rejects.toMatchObject({ code: 'PARE_JOURNAL_EXISTS' });
    await run(output, { onApply }, { resume: true });
    // Two steps of the first block were begun before.
    expect(found.slice(2, 5)).toEqual(['0', '1', 'nothing']);
    expect(new Set(found.slice(4))).toEqual(new Set(['nothing']));
    expect(await folderHashes(output)).toEqual(expected);
    expect((await readdir(folder.path)).some((name) => name.endsWith('.pare-journal') && output.endsWith(name.replace('.pare-journal', '')))).toBe(false);
  });
});

describe('an unfinished run', () => {
  it('is reported by the next one, which may discard it', async () => {
    const output = newOutput();
    await runUntil(5, output);
    await expect(run(output)).rejects.toMatchObject({ code: 'PARE_JOURNAL_EXISTS', help: expect.stringContaining('--resume') as string });
    expect((await run(output, {}, { overwrite: true })).restoredBlocks).toBe(0);
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('that was to replace an output may do so when it is resumed', async () => {
    const output = newOutput();
    await mkdir(output);
    await writeFile(`${output}/pare.json`, '{"pare":1}');
    await expect(run(output)).rejects.toMatchObject({ code: 'PARE_OUTPUT_EXISTS' });
    await runUntil(5, output, { overwrite: true });
    expect(await readFile(`${output}/pare.json`, 'utf8')).toBe('{"pare":1}');
    await run(output, {}, { resume: true });
    expect(await folderHashes(output)).toEqual(expected);
  });

  it('keeps others away from its output', async () => {
    const output = newOutput();
    let second: unknown;
    const onApply = async (): Promise<void> => {
      second ??= await run(output).catch((error: unknown) => error);
    };
    await run(output, { onApply });
    expect(second).toMatchObject({ code: 'PARE_OUTPUT_BUSY' });
    expect(await folderHashes(output)).toEqual(expected);
  });
});
