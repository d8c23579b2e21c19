import { pareError, systemErrorCode, throwIfAborted, type FileSystem } from '@pare/core';
import { hashFile } from '@pare/platform';

export interface HashedFile {
  readonly path: string;
  readonly sha256: string;
}

/** SHA-256 of whole files, read piece by piece. @param paths relative to the folder @throws PARE_FILE_UNREADABLE, PARE_ABORTED */
export async function hashFiles(files: FileSystem, directory: string, paths: readonly string[], signal?: AbortSignal): Promise<HashedFile[]> {
  const hashed: HashedFile[] = [];
  for (const path of paths) hashed.push({ path, sha256: await contentHash(files, files.path.join(directory, path), signal) });
  return hashed;
}

async function contentHash(files: FileSystem, file: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return (await hashFile(files, file, signal)).sha256;
  } catch (error) {
    throwIfAborted(signal, 'hashing');
    if (systemErrorCode(error) === undefined) throw error;
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: (error as Error).message }, error);
  }
}
