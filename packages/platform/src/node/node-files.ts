import type { FileKind, FileSystem, ReadableFile, ScratchFile, WritableFile } from '@pare/core';
import { constants, createReadStream, type Dirent, type Stats } from 'node:fs';
import { access, copyFile, mkdir, mkdtemp, open, readdir, readFile, realpath, rename, rm, rmdir, stat, statfs, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import nodePath from 'node:path';
import { hashOnThread } from './hash-on-thread.js';

/** Node refuses single reads and writes of 2 GiB and more. */
const maximumTransferBytes = 1 << 30;

/** The disk. */
export const nodeFiles: FileSystem = {
  path: nodePath,
  async status(path) {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    return found === undefined ? undefined : { kind: kindOf(found), bytes: found.size, modified: found.mtimeMs };
  },
  async list(folder) {
    return (await readdir(folder, { withFileTypes: true })).map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  },
  access: (path) => access(path, constants.R_OK),
  async open(path) {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      return readable(handle, size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  },
  // Pieces that take the disk as long as the loop takes to come round.
  chunks: (path) => createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Uint8Array>,
  hash: hashOnThread,
  readText: (path) => readFile(path, 'utf8'),
  create: async (path) => writable(await open(path, 'w')),
  async writeText(path, text, { exclusive = false, flush = false } = {}) {
    await writeFile(path, text, { flag: exclusive ? 'wx' : 'w', flush });
  },
  copy: (from, to) => copyFile(from, to),
  async makeFolder(path) {
    await mkdir(path, { recursive: true });
  },
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { recursive: true, force: true }),
  removeEmptyFolder: (path) => rmdir(path),
  async flush(path) {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } catch (error) {
      // Some systems (Windows, network shares) cannot flush folders; the rename is as durable there as it gets.
      if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP', 'EBADF'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    } finally {
      await handle.close();
    }
  },
  async freeBytes(folder) {
    const status = await statfs(folder).catch(() => undefined);
    return status === undefined || status.blocks === 0 ? undefined : status.bavail * status.bsize;
  },
  realPath: (path) => realpath(path),
  /** Its name is removed at once where the system allows, so that a killed process leaves nothing behind. */
  async scratch(parent = tmpdir()) {
    const directory = await mkdtemp(nodePath.join(parent, 'pare-scratch-'));
    const handle = await open(nodePath.join(directory, 'data'), 'w+');
    await rm(directory, { recursive: true, force: true }).catch(() => undefined);
    const file: ScratchFile = {
      read: (target, position) => readFully(handle, target, position),
      ...writable(handle),
      async [Symbol.asyncDispose]() {
        await handle.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
    return file;
  },
};

function kindOf(found: Stats | Dirent): FileKind {
  return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other';
}

function readable(handle: FileHandle, bytes: number): ReadableFile {
  return { bytes, read: (target, position) => readFully(handle, target, position), [Symbol.asyncDispose]: () => handle.close() };
}

function writable(handle: FileHandle): WritableFile {
  return {
    async write(data, position) {
      for (let done = 0; done < data.length; ) {
        const { bytesWritten } = await handle.write(data, done, Math.min(data.length - done, maximumTransferBytes), position + done);
        done += bytesWritten;
      }
    },
    flush: () => handle.datasync(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function readFully(handle: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, Math.min(target.length - done, maximumTransferBytes), position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
