import { mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pareError } from '@pare/core';
import { defaultFiles, isDiskFull, requireFreeSpace } from '@pare/platform';
import { createPartialOutput, inspectOutput, recoverOutput } from './output-folder.js';

let folder = '';
let output = '';

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'pare-output-')));
  output = join(folder, 'out');
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function ours(path: string, content = 'old'): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'pare.json'), '{"pare":1}');
  await writeFile(join(path, 'weights'), content);
}

describe('inspectOutput', () => {
  it('tells absent, empty and our folders', async () => {
    expect(await inspectOutput(defaultFiles, output)).toBe('absent');
    await mkdir(output);
    expect(await inspectOutput(defaultFiles, output)).toBe('empty');
    await ours(output);
    expect(await inspectOutput(defaultFiles, output)).toBe('ours');
  });

  it('refuses what is not ours', async () => {
    const reason = (path: string, model?: string): Promise<unknown> => inspectOutput(defaultFiles, path, model).catch((error: unknown) => (error as { code: string; data: { reason: string } }).data.reason);
    await writeFile(join(folder, 'file'), '');
    expect(await reason(join(folder, 'file'))).toBe('it is a file');
    expect(await reason(join(folder, 'file', 'inside'))).toBe('a part of the path is a file');
    await mkdir(output);
    await writeFile(join(output, 'thesis.tex'), '');
    expect(await reason(output)).toContain('thesis.tex');
    await writeFile(join(output, 'pare.json'), '{"name":"something else"}');
    expect(await reason(output)).toContain('not written by Pare');
    await writeFile(join(output, 'pare.json'), '{');
    expect(await reason(output)).toContain('cannot be read');
  });

  it('refuses the model’s own folder, its parents, and links to them', async () => {
    await ours(join(output, 'model'));
    await ours(output);
    await symlink(output, join(folder, 'link'));
    for (const path of [output, join(output, 'model'), join(folder, 'link')]) {
      await expect(inspectOutput(defaultFiles, path, join(output, 'model'))).rejects.toMatchObject({ code: 'PARE_OUTPUT_FOREIGN' });
    }
    await ours(join(folder, 'out-2'));
    expect(await inspectOutput(defaultFiles, join(folder, 'out-2'), output)).toBe('ours');
  });
});

describe('createPartialOutput', () => {
  it('appears under its name only when it is committed', async () => {
    const partial = await createPartialOutput(defaultFiles, join(folder, 'new', 'parent', 'out'));
    await ours(partial.directory, 'new');
    expect(await readdir(join(folder, 'new', 'parent'))).toEqual([`out.pare-partial-${String(process.pid)}`]);
    await partial.commit();
    await partial.discard();
    expect(await readdir(join(folder, 'new', 'parent'))).toEqual(['out']);
  });

  it('replaces an empty folder and an earlier output', async () => {
    for (const content of ['first', 'second']) {
      if (content === 'first') await mkdir(output);
      const partial = await createPartialOutput(defaultFiles, output);
      await ours(partial.directory, content);
      await mkdir(join(partial.directory, 'onnx'));
      await partial.commit();
      expect(await readFile(join(output, 'weights'), 'utf8')).toBe(content);
      expect(await readdir(folder)).toEqual(['out']);
    }
  });

  it('leaves nothing when it is discarded', async () => {
    const partial = await createPartialOutput(defaultFiles, output);
    await writeFile(join(partial.directory, 'half'), '');
    await partial.discard();
    expect(await readdir(folder)).toEqual([]);
  });

  it('never replaces a folder that became somebody else’s meanwhile', async () => {
    const partial = await createPartialOutput(defaultFiles, output);
    await ours(partial.directory);
    await mkdir(output);
    await writeFile(join(output, 'thesis.tex'), 'years of work');
    await expect(partial.commit()).rejects.toMatchObject({ code: 'PARE_OUTPUT_FOREIGN' });
    expect(await readFile(join(output, 'thesis.tex'), 'utf8')).toBe('years of work');
    await partial.discard();
  });
});

describe('recoverOutput', () => {
  it('removes what dead runs had begun and puts back what they had moved away', async () => {
    const dead = '2147483646';
    await ours(`${output}.pare-partial-${dead}`);
    await ours(`${output}.pare-replaced-${dead}`, 'saved');
    await ours(`${output}.pare-partial-${String(process.ppid)}`);
    await ours(join(folder, `other.pare-partial-${dead}`));
    await recoverOutput(defaultFiles, output);
    expect((await readdir(folder)).sort()).toEqual(['other.pare-partial-2147483646', 'out', `out.pare-partial-${String(process.ppid)}`]);
    expect(await readFile(join(output, 'weights'), 'utf8')).toBe('saved');
  });

  it('keeps the output that is in place', async () => {
    await ours(output, 'new');
    await ours(`${output}.pare-replaced-2147483646`, 'old');
    await recoverOutput(defaultFiles, output);
    expect(await readdir(folder)).toEqual(['out']);
    expect(await readFile(join(output, 'weights'), 'utf8')).toBe('new');
  });
});

describe('disk', () => {
  it('is asked for space where the path will be', async () => {
    await requireFreeSpace(defaultFiles, join(output, 'not', 'there', 'yet'), 1);
    await expect(requireFreeSpace(defaultFiles, output, 2 ** 60)).rejects.toMatchObject({ code: 'PARE_DISK_FULL', data: { path: output, needed: 2 ** 60 } });
  });

  it('full is recognised in whatever wraps it', () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    expect(isDiskFull(full)).toBe(true);
    expect(isDiskFull(new Error('writing failed', { cause: new Error('x', { cause: full }) }))).toBe(true);
    expect(isDiskFull(pareError('PARE_DISK_FULL', { path: 'x' }))).toBe(true);
    expect(isDiskFull(new Error('other'))).toBe(false);
    expect(isDiskFull(undefined)).toBe(false);
  });
});
