import type { FileSystem } from '@pare/core';

/** What every file system must do, as checks that run anywhere: under a test runner, and in a page. Each gets an empty folder. */
export const fileSystemChecks: Readonly<Record<string, (files: FileSystem, folder: string) => Promise<void>>> = {
  async 'writes at positions and reads ranges'(files, folder) {
    const path = files.path.join(folder, 'data');
    {
      await using file = await files.create(path);
      await file.write(bytes(5, 6, 7), 4);
      await file.write(bytes(1, 2, 3, 4), 0);
      await file.flush();
    }
    same((await files.status(path))?.bytes, 7);
    await using file = await files.open(path);
    same(file.bytes, 7);
    const target = new Uint8Array(4);
    same(await file.read(target, 1), 4);
    same([...target], [2, 3, 4, 5]);
    same(await file.read(target, 5), 2);
    same([...target], [6, 7, 4, 5]);
    same(await file.read(target, 9), 0);
  },

  async 'fills gaps with zeros and empties what is created anew'(files, folder) {
    const path = files.path.join(folder, 'data');
    {
      await using file = await files.create(path);
      await file.write(bytes(9), 3);
    }
    same(await content(files, path), [0, 0, 0, 9]);
    await (await files.create(path))[Symbol.asyncDispose]();
    same(await content(files, path), []);
  },

  async 'writes and reads text'(files, folder) {
    const path = files.path.join(folder, 'text');
    const text = '\ufeffgrüße\u2028😀\n';
    await files.writeText(path, text, { flush: true });
    same(await files.readText(path), text);
    await files.writeText(path, 'short');
    same(await files.readText(path), 'short');
    same(await code(files.writeText(path, 'no', { exclusive: true })), 'EEXIST');
    await files.writeText(files.path.join(folder, 'lock'), '1', { exclusive: true });
  },

  async 'reads in pieces'(files, folder) {
    const path = files.path.join(folder, 'large');
    const large = Uint8Array.from({ length: 2_500_001 }, (_, index) => index % 251);
    {
      await using file = await files.create(path);
      await file.write(large, 0);
    }
    let at = 0;
    for await (const piece of files.chunks(path)) for (const byte of piece) if (byte !== large[at++]) throw new Error(`differs at ${String(at - 1)}`);
    same(at, large.length);
  },

  async 'lists folders'(files, folder) {
    await files.makeFolder(files.path.join(folder, 'a', 'b'));
    await files.makeFolder(files.path.join(folder, 'a', 'b'));
    await files.writeText(files.path.join(folder, 'c'), '');
    const entries = [...(await files.list(folder))].sort((x, y) => (x.name < y.name ? -1 : 1));
    same(entries, [
      { name: 'a', kind: 'folder' },
      { name: 'c', kind: 'file' },
    ]);
    same((await files.status(files.path.join(folder, 'a')))?.kind, 'folder');
    same((await files.list(files.path.join(folder, 'a', 'b'))).length, 0);
  },

  async 'renames over files and moves folders with their content'(files, folder) {
    const { join } = files.path;
    await files.writeText(join(folder, 'old'), 'old');
    await files.writeText(join(folder, 'new'), 'new');
    await files.rename(join(folder, 'new'), join(folder, 'old'));
    same(await files.readText(join(folder, 'old')), 'new');
    same(await files.status(join(folder, 'new')), undefined);
    await files.makeFolder(join(folder, 'from', 'inner'));
    await files.writeText(join(folder, 'from', 'inner', 'file'), 'x');
    await files.rename(join(folder, 'from'), join(folder, 'to'));
    same(await files.readText(join(folder, 'to', 'inner', 'file')), 'x');
    same(await files.status(join(folder, 'from')), undefined);
    same(await code(files.rename(join(folder, 'absent'), join(folder, 'x'))), 'ENOENT');
  },

  async 'copies and removes'(files, folder) {
    const { join } = files.path;
    await files.makeFolder(join(folder, 'a', 'b'));
    await files.writeText(join(folder, 'a', 'b', 'file'), 'text');
    await files.copy(join(folder, 'a', 'b', 'file'), join(folder, 'copy'));
    await files.writeText(join(folder, 'a', 'b', 'file'), 'other');
    same(await files.readText(join(folder, 'copy')), 'text');
    await files.remove(join(folder, 'copy'));
    await files.remove(join(folder, 'copy'));
    same((await code(files.removeEmptyFolder(join(folder, 'a')))) === undefined, false);
    await files.remove(join(folder, 'a'));
    same((await files.list(folder)).length, 0);
    await files.makeFolder(join(folder, 'empty'));
    await files.removeEmptyFolder(join(folder, 'empty'));
    same((await files.list(folder)).length, 0);
  },

  async 'says why a path cannot be used'(files, folder) {
    const { join } = files.path;
    await files.writeText(join(folder, 'file'), '');
    same(await code(files.open(join(folder, 'absent'))), 'ENOENT');
    same(await code(files.readText(join(folder, 'absent'))), 'ENOENT');
    same(await code(files.list(join(folder, 'absent'))), 'ENOENT');
    same(await code(files.access(join(folder, 'absent'))), 'ENOENT');
    same(await code(files.readText(join(folder))), 'EISDIR');
    same(await code(files.list(join(folder, 'file'))), 'ENOTDIR');
    same(await code(files.readText(join(folder, 'file', 'below'))), 'ENOTDIR');
    same(await code(files.status(join(folder, 'file', 'below'))), 'ENOTDIR');
    same(await code(files.create(join(folder, 'absent', 'file'))), 'ENOENT');
    await files.access(join(folder, 'file'));
    await files.flush(join(folder, 'file'));
    await files.flush(folder);
  },

  async 'lends files that leave nothing behind'(files, folder) {
    {
      await using file = await files.scratch(folder);
      await file.write(bytes(1, 2, 3), 2);
      const target = new Uint8Array(5);
      same(await file.read(target, 0), 5);
      same([...target], [0, 0, 1, 2, 3]);
      await file.write(bytes(7), 0);
      await file.read(target, 0);
      same(target[0], 7);
    }
    same((await files.list(folder)).length, 0);
  },
};

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

async function content(files: FileSystem, path: string): Promise<number[]> {
  await using file = await files.open(path);
  const all = new Uint8Array(file.bytes);
  await file.read(all, 0);
  return [...all];
}

async function code(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => (error as { code?: unknown }).code,
  );
}

function same(found: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)];
  if (a !== b) throw new Error(`found ${String(a)}, expected ${String(b)}`);
}
