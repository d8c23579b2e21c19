import { serviceRef, type ServiceRef } from './service.js';

/** Rules of paths. `node:path` fits: those of the system in Node, forward slashes elsewhere. */
export interface PathRules {
  readonly sep: string;
  join(...parts: string[]): string;
  /** An absolute path, from the working folder on. */
  resolve(...parts: string[]): string;
  relative(from: string, to: string): string;
  dirname(path: string): string;
  basename(path: string): string;
  extname(path: string): string;
}

export type FileKind = 'file' | 'folder' | 'other';

/** What stands at a path, links followed. */
export interface FileStatus {
  readonly kind: FileKind;
  readonly bytes: number;
  /** Time of the last change, in milliseconds since 1970. */
  readonly modified: number;
}

/** An entry of a folder; a link counts as `other`. */
export interface FolderEntry {
  readonly name: string;
  readonly kind: FileKind;
}

/** A file that is read by range. Reads may run side by side. Disposing it closes it. */
export interface ReadableFile extends AsyncDisposable {
  /** Size when it was opened. */
  readonly bytes: number;
  /** Fills `target` from `position` of the file. Returns the bytes read: fewer only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
}

/** A file that is written at any position. Disposing it closes it. */
export interface WritableFile extends AsyncDisposable {
  /** Writes all of `data`. */
  write(data: Uint8Array, position: number): Promise<void>;
  /** Makes the content survive a power cut, and brings out a lack of space that a write did not. */
  flush(): Promise<void>;
}

/** A file for the time of a piece of work. Disposing it removes it. */
export type ScratchFile = Pick<ReadableFile, 'read'> & WritableFile;

/**
 * Where files lie: a disk, a browser's private storage, files that were picked in a page, memory. Failures are errors with the system's `code` (`ENOENT`,
 * `EEXIST`, `ENOTDIR`, `EISDIR`, `EACCES`, `ENOSPC`, …), which `systemErrorCode` reads.
 */
export interface FileSystem {
  readonly path: PathRules;
  /** Undefined when nothing is there. */
  status(path: string): Promise<FileStatus | undefined>;
  list(folder: string): Promise<readonly FolderEntry[]>;
  /** Fails unless the file can be read. Opens nothing: a pipe would notice. */
  access(path: string): Promise<void>;
  open(path: string): Promise<ReadableFile>;
  /** A file's content from beginning to end, piece by piece; each piece is the caller's. */
  chunks(path: string): AsyncIterable<Uint8Array>;
  /** SHA-256 of a file, hexadecimal, beside other work of this thread. Left out where no other thread reads files: `chunks` can be hashed anywhere. Rejects with the signal's reason. */
  hash?(path: string, signal?: AbortSignal): Promise<string>;
  readText(path: string): Promise<string>;
  /** A new, empty file in place of one that is there. Its folder must exist. */
  create(path: string): Promise<WritableFile>;
  /** A text file. `exclusive` refuses to replace one (`EEXIST`); `flush` makes the content survive a power cut. */
  writeText(path: string, text: string, options?: { readonly exclusive?: boolean; readonly flush?: boolean }): Promise<void>;
  copy(from: string, to: string): Promise<void>;
  /** Makes a folder and those above it; one that is there stays. */
  makeFolder(path: string): Promise<void>;
  /** Moves a file over one that is there, or a folder to where none is. In one step where the system can. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, or a folder with its content; nothing happens where nothing is. */
  remove(path: string): Promise<void>;
  /** Removes a folder that is empty; fails on any other. */
  removeEmptyFolder(path: string): Promise<void>;
  /** Makes a file's content, or a folder's list of names, survive a power cut as far as the system can. */
  flush(path: string): Promise<void>;
  /** Bytes that may still be written below an existing folder; undefined when the system does not tell. */
  freeBytes(folder: string): Promise<number | undefined>;
  /** The path with all links followed. */
  realPath(path: string): Promise<string>;
  /** A file without a name of its own, in this folder or where temporary files lie. */
  scratch(folder?: string): Promise<ScratchFile>;
}

/** The files a host works on: models, texts, journal and output. The system's own by default. */
export const fileSystemRef: ServiceRef<FileSystem> = serviceRef<FileSystem>('pare.files');

/** Where things are kept that another run may use, such as a teacher's answers. */
export interface CacheFolder {
  /** Undefined for a host that keeps nothing. */
  readonly path: string | undefined;
}

/** The host's cache. */
export const cacheFolderRef: ServiceRef<CacheFolder> = serviceRef<CacheFolder>('pare.cache');

/** The system's code of an error (`ENOENT`, …), or undefined for errors of other kinds. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}
