import { pareError } from '@pare/core';
import { readFile, type FileHandle } from 'node:fs/promises';

/** Node refuses single reads and writes of 2 GiB and more. */
export const maximumTransferBytes = 1 << 30;

/** A system error as PARE_FILE_UNREADABLE, with the reason in words. */
export function unreadable(file: string, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'permission denied',
    EISDIR: 'it is a folder',
    ENOTDIR: 'a part of the path is no folder',
    EMFILE: 'too many files are open',
  };
  const reason = (code === undefined ? undefined : reasons[code]) ?? (cause instanceof Error ? cause.message : String(cause));
  return pareError('PARE_FILE_UNREADABLE', { file, reason }, cause);
}

/** A whole text file. @throws PARE_FILE_UNREADABLE */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/** Fills `target` from `position` of the file. Returns the bytes read: fewer only at the end of the file. */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const { bytesRead } = await handle.read(target, done, Math.min(target.length - done, maximumTransferBytes), position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
