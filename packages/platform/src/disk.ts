import { isPareError, pareError, systemErrorCode, type FileSystem } from '@pare/core';
import { processId } from '#system';

/** The nearest folder on the way up that exists. */
export async function nearestFolder(files: FileSystem, path: string): Promise<string> {
  const { dirname } = files.path;
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await files.status(folder).catch(() => undefined);
    if (found?.kind === 'folder' || folder === dirname(folder)) return folder;
  }
}

/**
 * Checks that the disk under a path (which need not exist yet) can take so many bytes. A file system that does not tell its size passes.
 * @throws PARE_DISK_FULL
 */
export async function requireFreeSpace(files: FileSystem, path: string, needed: number): Promise<void> {
  const free = await files.freeBytes(await nearestFolder(files, path));
  if (free !== undefined && free < needed) throw pareError('PARE_DISK_FULL', { path, needed, free });
}

/** True when an error, or what caused it, says that the disk or a quota is full. */
export function isDiskFull(error: unknown): boolean {
  for (let cause = error, depth = 0; typeof cause === 'object' && cause !== null && depth < 10; cause = (cause as { cause?: unknown }).cause, depth++) {
    if (isPareError(cause) && cause.code === 'PARE_DISK_FULL') return true;
    const code = systemErrorCode(cause);
    if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  }
  return false;
}

/** Bytes of a file, or of all files of a folder and below; 0 where nothing is. */
export async function treeBytes(files: FileSystem, path: string): Promise<number> {
  const status = await files.status(path);
  if (status?.kind !== 'folder') return status?.bytes ?? 0;
  let bytes = 0;
  for (const { name } of await files.list(path)) bytes += await treeBytes(files, files.path.join(path, name));
  return bytes;
}

/** Flushes a folder and everything below it. */
export async function flushTree(files: FileSystem, directory: string): Promise<void> {
  for (const { name, kind } of await files.list(directory)) {
    const path = files.path.join(directory, name);
    if (kind === 'folder') await flushTree(files, path);
    else if (kind === 'file') await files.flush(path);
  }
  await files.flush(directory);
}

/** Writes a file so that after a crash it has either the old or the new content. */
export async function writeAtomically(files: FileSystem, path: string, content: string): Promise<void> {
  await replaceFile(files, path, `${path}.partial`, content);
}

let shared = 0;

/** The same in a folder that other processes write to, perhaps the very same file: the last one that is complete stays. */
export async function writeShared(files: FileSystem, path: string, content: string): Promise<void> {
  const partial = `${path}.${String(processId)}-${String(shared++)}.partial`;
  await files.makeFolder(files.path.dirname(path));
  try {
    await replaceFile(files, path, partial, content);
  } finally {
    await files.remove(partial);
  }
}

async function replaceFile(files: FileSystem, path: string, partial: string, content: string): Promise<void> {
  await files.writeText(partial, content, { flush: true });
  await files.rename(partial, path);
  await files.flush(files.path.dirname(path));
}
