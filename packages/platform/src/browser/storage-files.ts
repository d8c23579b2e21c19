import type { FileSystem, FolderEntry, ReadableFile, ScratchFile } from '@pare/core';
import { FileSystemError } from '../file-system-error.js';
import { memoryFiles, readBlob } from '../memory-files.js';
import { posixPaths } from '../posix-paths.js';
import { pieceBytes } from '../text.js';
import { web, type DirectoryHandle, type StorageFileHandle, type SyncAccessHandle } from './web-api.js';

/**
 * The origin private file system, seen from one of its folders: the browser's own disk space, which survives the page. Needs a worker, where files can be
 * written in place; elsewhere, and where the browser has no such storage or refuses it (a private window), files lie in memory.
 */
export async function storageFiles(folder: string): Promise<FileSystem> {
  if (web.FileSystemFileHandle === undefined || !('createSyncAccessHandle' in web.FileSystemFileHandle.prototype)) return memoryFiles();
  try {
    const root = await web.navigator?.storage?.getDirectory?.();
    return root === undefined ? memoryFiles() : new StorageFiles(await root.getDirectoryHandle(folder, { create: true }));
  } catch {
    return memoryFiles();
  }
}

class StorageFiles implements FileSystem {
  readonly path = posixPaths;
  readonly #root: DirectoryHandle;
  #scratch = 0;

  constructor(root: DirectoryHandle) {
    this.#root = root;
  }

  async status(path: string): Promise<{ kind: 'file' | 'folder'; bytes: number; modified: number } | undefined> {
    const found = await this.#find(path).catch((error: unknown) => {
      if ((error as FileSystemError).code === 'ENOENT') return undefined;
      throw error;
    });
    if (found === undefined) return undefined;
    if (found.kind === 'directory') return { kind: 'folder', bytes: 0, modified: 0 };
    const { size, lastModified } = await found.getFile();
    return { kind: 'file', bytes: size, modified: lastModified };
  }

  async list(path: string): Promise<FolderEntry[]> {
    const entries: FolderEntry[] = [];
    for await (const { name, kind } of (await this.#folder(path)).values()) entries.push({ name, kind: kind === 'file' ? 'file' : 'folder' });
    return entries;
  }

  async access(path: string): Promise<void> {
    await this.#find(path);
  }

  async open(path: string): Promise<ReadableFile> {
    const blob = await (await this.#file(path)).getFile();
    return {
      bytes: blob.size,
      read: (target, position) => readBlob(blob, target, position, path),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async *chunks(path: string): AsyncGenerator<Uint8Array> {
    const blob = await (await this.#file(path)).getFile();
    for (let position = 0; position < blob.size; ) {
      const piece = new Uint8Array(Math.min(pieceBytes, blob.size - position));
      position += await readBlob(blob, piece, position, path);
      yield piece;
    }
  }

  async readText(path: string): Promise<string> {
    const blob = await (await this.#file(path)).getFile();
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await blob.arrayBuffer());
  }

  async create(path: string): Promise<ScratchFile> {
    const folder = await this.#folder(posixPaths.dirname(path));
    return this.#openForWriting(folder, posixPaths.basename(path), path);
  }

  async writeText(path: string, text: string, options: { readonly exclusive?: boolean } = {}): Promise<void> {
    if (options.exclusive === true && (await this.status(path)) !== undefined) throw new FileSystemError('EEXIST', path);
    await using file = await this.create(path);
    await file.write(new TextEncoder().encode(text), 0);
    await file.flush();
  }

  async copy(from: string, to: string): Promise<void> {
    await using target = await this.create(to);
    let position = 0;
    for await (const piece of this.chunks(from)) {
      await target.write(piece, position);
      position += piece.length;
    }
  }

  async makeFolder(path: string): Promise<void> {
    let folder = this.#root;
    for (const part of partsOf(path)) folder = await guarded(path, folder.getDirectoryHandle(part, { create: true }));
  }

  /** Files move in one step. Folders do not move in this storage: their files do, one after another. */
  async rename(from: string, to: string): Promise<void> {
    const source = await this.#find(from);
    if (source.kind === 'file') {
      await this.#moveFile(source, from, to);
      return;
    }
    if ((await this.status(to)) !== undefined) throw new FileSystemError('EEXIST', to);
    await this.#folder(posixPaths.dirname(to));
    await this.makeFolder(to);
    for (const { name } of await this.list(from)) await this.rename(posixPaths.join(from, name), posixPaths.join(to, name));
    await this.remove(from);
  }

  async remove(path: string): Promise<void> {
    const parts = partsOf(path);
    try {
      if (parts.length === 0) for (const { name } of await this.list('/')) await this.#root.removeEntry(name, { recursive: true });
      else await guarded(path, (await this.#folder(posixPaths.dirname(path))).removeEntry(parts.at(-1)!, { recursive: true }));
    } catch (error) {
      if ((error as FileSystemError).code !== 'ENOENT') throw error;
    }
  }

  async removeEmptyFolder(path: string): Promise<void> {
    if ((await this.list(path)).length > 0) throw new FileSystemError('ENOTEMPTY', path);
    await guarded(path, (await this.#folder(posixPaths.dirname(path))).removeEntry(posixPaths.basename(path)));
  }

  /** Files are flushed when they are written. */
  flush(): Promise<void> {
    return Promise.resolve();
  }

  async freeBytes(): Promise<number | undefined> {
    const { quota, usage } = (await web.navigator?.storage?.estimate?.()) ?? {};
    return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
  }

  async realPath(path: string): Promise<string> {
    await this.#find(path);
    return posixPaths.resolve(path);
  }

  async scratch(folder = '/'): Promise<ScratchFile> {
    const path = posixPaths.join(folder, `.scratch-${String(Date.now())}-${String(this.#scratch++)}`);
    const file = await this.create(path);
    return {
      read: file.read,
      write: file.write,
      flush: file.flush,
      [Symbol.asyncDispose]: async () => {
        await file[Symbol.asyncDispose]();
        await this.remove(path);
      },
    };
  }

  async #moveFile(source: StorageFileHandle, from: string, to: string): Promise<void> {
    const target = await this.status(to);
    if (target?.kind === 'folder') throw new FileSystemError('EISDIR', to);
    const folder = await this.#folder(posixPaths.dirname(to));
    if (source.move === undefined) {
      await this.copy(from, to);
      await this.remove(from);
      return;
    }
    if (target !== undefined) await this.remove(to);
    await guarded(from, source.move(folder, posixPaths.basename(to)));
  }

  async #openForWriting(folder: DirectoryHandle, name: string, path: string): Promise<ScratchFile> {
    const handle = await guarded(path, folder.getFileHandle(name, { create: true }));
    const access: SyncAccessHandle = await guarded(path, handle.createSyncAccessHandle());
    access.truncate(0);
    const attempt = <T>(work: () => T): Promise<T> => guarded(path, new Promise((resolve) => {
      resolve(work());
    }));
    return {
      read: (target, position) => attempt(() => access.read(target, { at: position })),
      write: (data, position) =>
        attempt(() => {
          for (let done = 0; done < data.length; ) {
            const written = access.write(data.subarray(done), { at: position + done });
            if (written === 0) throw new FileSystemError('ENOSPC', path);
            done += written;
          }
        }),
      flush: () => attempt(() => access.flush()),
      [Symbol.asyncDispose]: () => attempt(() => access.close()),
    };
  }

  async #folder(path: string): Promise<DirectoryHandle> {
    let folder = this.#root;
    for (const part of partsOf(path)) folder = await guarded(path, folder.getDirectoryHandle(part));
    return folder;
  }

  async #file(path: string): Promise<StorageFileHandle> {
    const found = await this.#find(path);
    if (found.kind === 'directory') throw new FileSystemError('EISDIR', path);
    return found;
  }

  async #find(path: string): Promise<DirectoryHandle | StorageFileHandle> {
    const parts = partsOf(path);
    const name = parts.at(-1);
    if (name === undefined) return this.#root;
    const folder = await this.#folder(posixPaths.dirname(posixPaths.resolve(path)));
    try {
      return await folder.getFileHandle(name);
    } catch (error) {
      if ((error as Error).name !== 'TypeMismatchError') throw translated(path, error);
      return guarded(path, folder.getDirectoryHandle(name));
    }
  }
}

function partsOf(path: string): string[] {
  return posixPaths.resolve(path).split('/').filter((part) => part !== '');
}

const codes: Readonly<Record<string, string>> = {
  NotFoundError: 'ENOENT',
  TypeMismatchError: 'ENOTDIR',
  NoModificationAllowedError: 'EBUSY',
  QuotaExceededError: 'ENOSPC',
  NotAllowedError: 'EACCES',
};

function translated(path: string, error: unknown): unknown {
  const code = error instanceof FileSystemError ? undefined : codes[(error as { name?: string }).name ?? ''];
  return code === undefined ? error : new FileSystemError(code, path, error);
}

/** The work's result; what it fails with carries a code of Node's. */
async function guarded<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translated(path, error);
  }
}
