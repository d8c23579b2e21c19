import type { FileSystem } from '@pare/core';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import nodePath from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { copyFile, createSha256, defaultFiles, isRunning, memoryFiles, mountFiles, posixPaths, processId, sampleMemory, storageFiles } from './index.js';
import * as browser from './browser/system.js';
import { fileSystemChecks } from './testing.js';

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

const systems: { name: string; open: () => Promise<{ files: FileSystem; folder: string }> }[] = [
  {
    name: 'the disk',
    async open() {
      const folder = await mkdtemp(nodePath.join(tmpdir(), 'pare-files-'));
      folders.push(folder);
      return { files: defaultFiles, folder };
    },
  },
  {
    name: 'memory',
    async open() {
      const files = memoryFiles();
      await files.makeFolder('/work');
      return { files, folder: '/work' };
    },
  },
  { name: 'a mount', open: () => Promise.resolve({ files: mountFiles(memoryFiles(), { '/mounted': memoryFiles() }), folder: '/mounted' }) },
  {
    name: 'what is beside a mount',
    async open() {
      const files = mountFiles(memoryFiles(), { '/mounted': memoryFiles() });
      await files.makeFolder('/mounted-too');
      return { files, folder: '/mounted-too' };
    },
  },
  // Node has no such storage: memory stands in. Browsers run the same checks in the test of examples/host-web.
  { name: 'storage that is not there', open: async () => ({ files: await storageFiles('x'), folder: '/' }) },
];

describe.each(systems)('$name', ({ open }) => {
  it.each(Object.entries(fileSystemChecks))('%s', async (_name, check) => {
    const { files, folder } = await open();
    await check(files, folder);
  });
});

describe('memoryFiles', () => {
  it('reads blobs by range and never whole', async () => {
    const slices: [number, number][] = [];
    class Watched extends Blob {
      override slice(start = 0, end = this.size): Blob {
        slices.push([start, end]);
        return super.slice(start, end);
      }
      override arrayBuffer(): Promise<ArrayBuffer> {
        return Promise.reject(new Error('loaded whole'));
      }
    }
    const files = memoryFiles({ '/model/weights': new Watched([Uint8Array.from({ length: 1000 }, (_, index) => index % 256)]) });
    await using file = await files.open('/model/weights');
    const target = new Uint8Array(3);
    expect(await file.read(target, 700)).toBe(3);
    expect([...target]).toEqual([188, 189, 190]);
    expect(slices).toEqual([[700, 703]]);
    expect((await files.status('/model'))?.kind).toBe('folder');
    expect(await files.list('/')).toEqual([{ name: 'model', kind: 'folder' }]);
  });

  it('tells a picked file that can no longer be read', async () => {
    class Gone extends Blob {
      override slice(): Blob {
        return Object.assign(new Blob(), { arrayBuffer: () => Promise.reject(new DOMException('changed', 'NotReadableError')) });
      }
    }
    const files = memoryFiles({ '/a': new Gone(['x']) });
    await expect(files.readText('/a')).rejects.toMatchObject({ code: 'EIO', path: '/a' });
  });
});

describe('mountFiles', () => {
  it('copies from one to another and renames within each only', async () => {
    const base = memoryFiles();
    const files = mountFiles(base, { '/model': memoryFiles({ '/config.json': '{}' }) });
    await files.copy('/model/config.json', '/config.json');
    expect(await base.readText('/config.json')).toBe('{}');
    await expect(files.rename('/model/config.json', '/other.json')).rejects.toMatchObject({ code: 'EXDEV' });
    expect(await files.realPath('/model/config.json')).toBe('/model/config.json');
    await copyFile({ files: base, path: '/config.json' }, { files, path: '/model/copy.json' });
    expect(await files.readText('/model/copy.json')).toBe('{}');
  });
});

describe('posixPaths', () => {
  const paths = ['', '.', '/', 'a', 'a/', '/a/b', 'a/../b', '../a', '/..', '/a//b/./c/', 'a.b/c', '.hidden', 'x.tar.gz', '..', 'a/..'];
  it.each(paths)('takes %j apart as node:path does', (path) => {
    const expected = nodePath.posix;
    // Taken apart, as callers do with `node:path`.
    const { basename, dirname, extname, join, relative, resolve } = posixPaths;
    expect(dirname(path)).toBe(expected.dirname(path));
    expect(basename(path)).toBe(expected.basename(path));
    expect(extname(path)).toBe(expected.extname(path));
    expect(resolve('/', path)).toBe(expected.resolve('/', path));
    for (const other of paths) {
      expect(join(path, other).replace(/(.)\/$/, '$1')).toBe(expected.join(path, other).replace(/(.)\/$/, '$1'));
      expect(relative(`/${path}`, `/${other}`)).toBe(expected.relative(`/${path}`, `/${other}`));
    }
  });
});

describe('the system', () => {
  it.each([
    ['Node', createSha256],
    ['a browser', browser.createSha256],
  ])('hashes piece by piece in %s', (_name, create) => {
    const hash = create();
    hash.update(new TextEncoder().encode('a'));
    hash.update(new TextEncoder().encode('bc'));
    expect(hash.hex()).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('knows processes that run', async () => {
    expect(processId).toBe(process.pid);
    expect(await isRunning(processId)).toBe(true);
    expect(await isRunning(2 ** 31 - 2)).toBe(false);
    expect(await browser.isRunning(browser.processId)).toBe(true);
  });

  it('samples memory where it is told', () => {
    expect(sampleMemory()!.residentBytes).toBeGreaterThan(1e6);
    expect(browser.sampleMemory()).toBeUndefined();
  });
});
