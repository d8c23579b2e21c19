import { pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { defaultFiles } from '@pare/platform';

/** Turns "no space left" and "quota exceeded" into PARE_DISK_FULL; other errors pass through. */
export function diskError(path: string, needed: number, cause: unknown): unknown {
  const code = systemErrorCode(cause);
  return code === 'ENOSPC' || code === 'EDQUOT' ? pareError('PARE_DISK_FULL', { path, needed }, cause) : cause;
}

/**
 * Checks that the disk of an existing folder can take so many more bytes. A file system that does not tell its size passes.
 *
 * @throws PARE_DISK_FULL
 */
export async function requireDiskSpace(directory: string, needed: number, files: FileSystem = defaultFiles): Promise<void> {
  const free = await files.freeBytes(directory);
  if (free !== undefined && free < needed) throw pareError('PARE_DISK_FULL', { path: directory, needed, free });
}
