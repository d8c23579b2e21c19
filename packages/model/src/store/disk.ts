import { pareError } from '@pare/core';
import { statfs } from 'node:fs/promises';

/** Turns "no space left" and "quota exceeded" into PARE_DISK_FULL; other errors pass through. */
export function diskError(path: string, needed: number, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' ? pareError('PARE_DISK_FULL', { path, needed }, cause) : cause;
}

/**
 * Checks that the disk of an existing folder can take so many more bytes. A file system that does not tell its size passes.
 *
 * @throws PARE_DISK_FULL
 */
export async function requireDiskSpace(directory: string, needed: number): Promise<void> {
  const status = await statfs(directory).catch(() => undefined);
  if (status === undefined || status.blocks === 0) return;
  const free = status.bavail * status.bsize;
  if (free < needed) throw pareError('PARE_DISK_FULL', { path: directory, needed, free });
}
