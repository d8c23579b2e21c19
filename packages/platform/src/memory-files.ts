import type { FileKind, FileSystem, FolderEntry, ReadableFile, ScratchFile } from '@pare/core';
import { FileSystemError } from './file-system-error.js';
import { posixPaths } from './posix-paths.js';
import { decodeText, pieceBytes } from './text.js';

/** Content of a file: bytes that were written here (with room to grow), or a blob that is read by range and never held whole. */
type Content = { bytes: Uint8Array<ArrayBuffer>; length: number } | Blob;

interface FileNode {
  content: Content;
  modified: number;
}

/**
 * A file system in memory. Files given at the start are blobs (such as the `File` objects of a picker): they stay where they are and are read by range.
 * What is written lies in memory. Paths are absolute, with forward slashes.
 *
 * @param initial Blobs or texts by path: `{ '/model/config.json': file }`.
 */
export function memoryFiles(initial: Readonly<Record<string, Blob | string>> = {}): FileSystem {
  const files = new MemoryFiles();
  for (const [path, content] of Object.entries(initial)) files.add(path, content);
  return files;
}

class MemoryFiles implements FileSystem {
  readonly path = posixPaths;
  readonly #files = new Map<string, FileNode>();
  readonly #folders = new Set<string>(['/']);
  #scratch = 0;

  add(given: string, content: Blob | string): void {
    const path = posixPaths.resolve(given);
    this.#addFolder(posixPaths.dirname(path));
    const blob = typeof content === 'string' ? new Blob([content]) : content;
    this.#files.set(path, { content: blob, modified: (blob as Partial<File>).lastModified ?? Date.now() });
  }

  status(given: string): Promise<{ kind: FileKind; bytes: number; modified: number } | undefined> {
    return attempt(() => {
      const path = posixPaths.resolve(given);
      if (this.#folders.has(path)) return { kind: 'folder', bytes: 0, modified: 0 };
      const file = this.#files.get(path);
      if (file !== undefined) return { kind: 'file', bytes: sizeOf(file.content), modified: file.modified };
      const missing = this.#missing(path, false);
      if (missing.code !== 'ENOENT') throw missing;
      return undefined;
    });
  }

  list(given: string): Promise<FolderEntry[]> {
    return attempt(() => {
      const folder = this.#folder(given);
      const prefix = folder === '/' ? '/' : `${folder}/`;
      const within = (path: string): boolean => path.startsWith(prefix) && path !== prefix && !path.slice(prefix.length).includes('/');
      const named = (kind: FileKind) => (path: string) => ({ name: path.slice(prefix.length), kind });
      return [...[...this.#folders].filter(within).map(named('folder')), ...[...this.#files.keys()].filter(within).map(named('file'))];
    });
  }

  access(path: string): Promise<void> {
    return attempt(() => {
      if (!this.#folders.has(posixPaths.resolve(path))) this.#file(path);
    });
  }

  open(path: string): Promise<ReadableFile> {
    return attempt(() => {
      const node = this.#file(path);
      return {
        bytes: sizeOf(node.content),
        read: (target: Uint8Array, position: number) => readRange(node.content, target, position, path),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    });
  }

  async *chunks(path: string): AsyncGenerator<Uint8Array> {
    const { content } = this.#file(path);
    for (let position = 0; position < sizeOf(content); ) {
      const piece = new Uint8Array(Math.min(pieceBytes, sizeOf(content) - position));
      position += await readRange(content, piece, position, path);
      yield piece;
    }
  }

  async readText(path: string): Promise<string> {
    const { content } = this.#file(path);
    const bytes = new Uint8Array(sizeOf(content));
    await readRange(content, bytes, 0, path);
    return decodeText(bytes);
  }

  create(path: string): Promise<ScratchFile> {
    return attempt(() => this.#create(path));
  }

  async writeText(path: string, text: string, options: { readonly exclusive?: boolean } = {}): Promise<void> {
    if (options.exclusive === true && (await this.status(path)) !== undefined) throw new FileSystemError('EEXIST', path);
    await this.#create(path).write(new TextEncoder().encode(text), 0);
  }

  async copy(from: string, to: string): Promise<void> {
    const { content } = this.#file(from);
    // What is written over later must not change the copy.
    const copied = content instanceof Blob ? content : { bytes: content.bytes.slice(0, content.length), length: content.length };
    await this.create(to);
    this.#file(to).content = copied;
  }

  makeFolder(path: string): Promise<void> {
    return attempt(() => {
      this.#addFolder(posixPaths.resolve(path));
    });
  }

  rename(givenFrom: string, givenTo: string): Promise<void> {
    return attempt(() => {
      const from = posixPaths.resolve(givenFrom);
      const to = posixPaths.resolve(givenTo);
      this.#folder(posixPaths.dirname(to));
      if (!this.#folders.has(from)) {
        const file = this.#file(from);
        if (this.#folders.has(to)) throw new FileSystemError('EISDIR', to);
        this.#files.delete(from);
        this.#files.set(to, file);
        return;
      }
      if (this.#files.has(to)) throw new FileSystemError('ENOTDIR', to);
      if (this.#folders.has(to)) throw new FileSystemError('EEXIST', to);
      const moved = (path: string): string => to + path.slice(from.length);
      for (const folder of below([...this.#folders], from)) {
        this.#folders.delete(folder);
        this.#folders.add(moved(folder));
      }
      for (const file of below([...this.#files.keys()], from)) {
        const node = this.#files.get(file)!;
        this.#files.delete(file);
        this.#files.set(moved(file), node);
      }
    });
  }

  remove(given: string): Promise<void> {
    return attempt(() => {
      const path = posixPaths.resolve(given);
      for (const folder of below([...this.#folders], path)) if (folder !== '/') this.#folders.delete(folder);
      for (const file of below([...this.#files.keys()], path)) this.#files.delete(file);
    });
  }

  async removeEmptyFolder(path: string): Promise<void> {
    if ((await this.list(path)).length > 0) throw new FileSystemError('ENOTEMPTY', path);
    await this.remove(path);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  realPath(path: string): Promise<string> {
    return attempt(() => {
      const full = posixPaths.resolve(path);
      if (!this.#folders.has(full)) this.#file(full);
      return full;
    });
  }

  async scratch(folder = '/'): Promise<ScratchFile> {
    const path = posixPaths.join(folder, `.scratch-${String(this.#scratch++)}`);
    const file = await this.create(path);
    this.#files.delete(posixPaths.resolve(path));
    return file;
  }

  #create(given: string): ScratchFile {
    const path = posixPaths.resolve(given);
    this.#folder(posixPaths.dirname(path));
    if (this.#folders.has(path)) throw new FileSystemError('EISDIR', path);
    const content = { bytes: new Uint8Array(0), length: 0 };
    const node: FileNode = { content, modified: Date.now() };
    this.#files.set(path, node);
    return {
      read: (target, position) => readRange(content, target, position, path),
      write: (data, position) =>
        attempt(() => {
          const end = position + data.length;
          if (end > content.bytes.length) {
            // Doubled, so that a file written in many pieces is copied only a few times.
            const grown = new Uint8Array(Math.max(end, content.length === 0 ? end : 2 * content.bytes.length));
            grown.set(content.bytes.subarray(0, content.length));
            content.bytes = grown;
          }
          content.bytes.set(data, position);
          content.length = Math.max(content.length, end);
          node.modified = Date.now();
        }),
      flush: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  #addFolder(path: string): void {
    for (let folder = path; !this.#folders.has(folder); folder = posixPaths.dirname(folder)) {
      if (this.#files.has(folder)) throw new FileSystemError('ENOTDIR', folder);
      this.#folders.add(folder);
    }
  }

  #folder(given: string): string {
    const path = posixPaths.resolve(given);
    if (!this.#folders.has(path)) throw this.#missing(path, this.#files.has(path));
    return path;
  }

  #file(given: string): FileNode {
    const path = posixPaths.resolve(given);
    const file = this.#files.get(path);
    if (file !== undefined) return file;
    throw this.#folders.has(path) ? new FileSystemError('EISDIR', path) : this.#missing(path, false);
  }

  /** Nothing there, or a file where the path needs a folder. */
  #missing(path: string, isFile: boolean): FileSystemError {
    for (let above = isFile ? path : posixPaths.dirname(path); above !== '/'; above = posixPaths.dirname(above)) if (this.#files.has(above)) return new FileSystemError('ENOTDIR', path);
    return new FileSystemError('ENOENT', path);
  }
}

/** A path and all paths below it. */
function below(paths: readonly string[], path: string): string[] {
  return paths.filter((candidate) => candidate === path || candidate.startsWith(path === '/' ? '/' : `${path}/`));
}

function sizeOf(content: Content): number {
  return content instanceof Blob ? content.size : content.length;
}

/** Fills `target` from a position of the content. */
async function readRange(content: Content, target: Uint8Array, position: number, path: string): Promise<number> {
  const count = Math.max(0, Math.min(target.length, sizeOf(content) - position));
  if (!(content instanceof Blob)) {
    target.set(content.bytes.subarray(position, position + count));
    return count;
  }
  return readBlob(content, target, position, path);
}

/** Fills `target` from a position of a blob; only that range is loaded. */
export async function readBlob(blob: Blob, target: Uint8Array, position: number, path: string): Promise<number> {
  const count = Math.max(0, Math.min(target.length, blob.size - position));
  try {
    target.set(new Uint8Array(await blob.slice(position, position + count).arrayBuffer()));
  } catch (error) {
    // A picked file that was changed or removed since.
    throw new FileSystemError('EIO', path, error);
  }
  return count;
}

/** What `work` gives or throws, as a promise. */
function attempt<T>(work: () => T): Promise<T> {
  return new Promise((resolve) => {
    resolve(work());
  });
}
