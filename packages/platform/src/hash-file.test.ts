import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultFiles, hashFile, memoryFiles } from './index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-hash-'));
});
afterAll(() => rm(folder, { recursive: true }));

const content = (bytes: number): Uint8Array => new Uint8Array(bytes).map((_, index) => (index * 31) & 255);
const expected = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('hashFile', () => {
  // The larger one is hashed by a thread of its own.
  it.each([0, 1000, 2 ** 25 + 7])('gives size and hash of %i bytes', async (bytes) => {
    const path = join(folder, `file-${String(bytes)}`);
    await writeFile(path, content(bytes));
    expect(await hashFile(defaultFiles, path)).toEqual({ bytes, sha256: expected(content(bytes)) });
  });

  it('does so for files that are no disk, too', async () => {
    const files = memoryFiles();
    await files.writeText('/a', 'text');
    expect(await hashFile(files, '/a')).toEqual({ bytes: 4, sha256: expected(new TextEncoder().encode('text')) });
  });

  it('stops with the reason of its signal', async () => {
    const path = join(folder, 'long');
    await writeFile(path, content(2 ** 26));
    const stopper = new AbortController();
    const hashed = hashFile(defaultFiles, path, stopper.signal);
    stopper.abort(new Error('enough'));
    await expect(hashed).rejects.toThrow('enough');
    await expect(hashFile(defaultFiles, path, stopper.signal)).rejects.toThrow('enough');
  });

  it('says what the system says of a file that cannot be read', async () => {
    await expect(hashFile(defaultFiles, join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(defaultFiles.hash!(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
