import { pareError, systemErrorCode, type FileSystem } from '@pare/core';

/** A system error as PARE_FILE_UNREADABLE, with the reason in words. */
export function unreadable(file: string, cause: unknown): Error {
  const code = systemErrorCode(cause);
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
export async function readText(file: string, files: FileSystem): Promise<string> {
  try {
    return await files.readText(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}
