import { open, type FileHandle } from 'node:fs/promises';
import { pareError } from '@pare/core';

/** Bytes moved per read or write: large enough to amortise the call, small enough not to matter in memory. */
export const chunkBytes = 16 * 2 ** 20;

/** A range of a file, opened anew for each use. */
export interface FileRange {
  read(): Promise<Uint8Array>;
  chunks(): AsyncIterable<Uint8Array>;
}

/** What tells one version of a file from another. */
export interface FileVersion {
  readonly size: number;
  readonly modified: number;
  readonly inode: number;
}

/** Size and version of a regular file. */
export async function fileVersion(path: string): Promise<FileVersion> {
  return withFile(path, async (file) => versionOf(file));
}

/** `length` bytes from `offset` of a file. Reading fails once the file is another than `version`: offsets of a rewritten file mean something else. */
export function fileRange(path: string, offset: number, length: number, version: () => FileVersion | undefined): FileRange {
  return {
    async read() {
      const bytes = new Uint8Array(length);
      await withFile(path, async (file) => {
        await checkVersion(file, path, version());
        await readInto(file, path, bytes, offset);
      });
      return bytes;
    },
    async *chunks() {
      const file = await openFile(path);
      try {
        await checkVersion(file, path, version());
        for (let done = 0; done < length; done += chunkBytes) {
          const bytes = new Uint8Array(Math.min(chunkBytes, length - done));
          await readInto(file, path, bytes, offset + done);
          yield bytes;
        }
      } finally {
        await file.close();
      }
    },
  };
}

async function versionOf(file: FileHandle): Promise<FileVersion> {
  const info = await file.stat();
  return { size: info.size, modified: info.mtimeMs, inode: info.ino };
}

async function checkVersion(file: FileHandle, path: string, version: FileVersion | undefined): Promise<void> {
  if (version === undefined) return;
  const now = await versionOf(file);
  if (now.size !== version.size || now.modified !== version.modified || now.inode !== version.inode) {
    throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: 'it was changed after the model was opened; open it again' });
  }
}

/** Runs `use` with the file open for reading. */
export async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await openFile(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Fills `bytes` from `offset`, in pieces that one system call can take. */
export async function readInto(file: FileHandle, path: string, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, done, Math.min(bytes.byteLength - done, 2 ** 30), offset + done).catch((error: unknown) => {
      throw unreadable(path, error);
    });
    if (bytesRead === 0) throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: `it ends at byte ${String(offset + done)}, ${String(offset + bytes.byteLength)} are needed` });
    done += bytesRead;
  }
}

async function openFile(path: string): Promise<FileHandle> {
  return open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error);
  });
}

/** What the system says about a file, as an error of the catalogue. */
export function unreadable(path: string, error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const reason = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : error instanceof Error ? error.message : String(error);
  return pareError('PARE_FILE_UNREADABLE', { file: path, reason }, error);
}
