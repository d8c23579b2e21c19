import { isPareError, pareError } from '@pare/core';
import { open, readdir, rename, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The nearest folder on the way up that exists. */
export async function nearestFolder(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => undefined);
    if (found?.isDirectory() === true || folder === dirname(folder)) return folder;
  }
}

/**
 * Checks that the disk under a path (which need not exist yet) can take so many bytes. A file system that does not tell its size passes.
 * @throws PARE_DISK_FULL
 */
export async function requireFreeSpace(path: string, needed: number): Promise<void> {
  const status = await statfs(await nearestFolder(path)).catch(() => undefined);
  if (status === undefined || status.blocks === 0) return;
  const free = status.bavail * status.bsize;
  if (free < needed) throw pareError('PARE_DISK_FULL', { path, needed, free });
}

/** True when an error, or what caused it, says that the disk or a quota is full. */
export function isDiskFull(error: unknown): boolean {
  for (let cause = error, depth = 0; typeof cause === 'object' && cause !== null && depth < 10; cause = (cause as { cause?: unknown }).cause, depth++) {
    if (isPareError(cause) && cause.code === 'PARE_DISK_FULL') return true;
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  }
  return false;
}

/** Makes a file's content, or a folder's list of names, survive a power cut. */
export async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some systems (Windows, network shares) cannot flush folders; the rename is as durable there as it gets.
    if (!['EPERM', 'EINVAL', 'EISDIR', 'ENOTSUP', 'EBADF'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/** Flushes a folder and everything below it. */
export async function flushTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await flushTree(path);
    else if (entry.isFile()) await flush(path);
  }
  await flush(directory);
}

/** Writes a file so that after a crash it has either the old or the new content. */
export async function writeAtomically(path: string, content: string): Promise<void> {
  const partial = `${path}.partial`;
  await writeFile(partial, content, { flush: true });
  await rename(partial, path);
  await flush(dirname(path));
}

/** True while a process of this id runs (ours or anybody's). */
export function isRunning(process_: number): boolean {
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
