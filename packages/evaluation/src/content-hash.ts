import { pareError, throwIfAborted } from '@pare/core';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

export interface HashedFile {
  readonly path: string;
  readonly sha256: string;
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of whole files, read piece by piece. @param paths relative to the folder @throws PARE_FILE_UNREADABLE, PARE_ABORTED */
export async function hashFiles(directory: string, paths: readonly string[], signal?: AbortSignal): Promise<HashedFile[]> {
  const files: HashedFile[] = [];
  for (const path of paths) files.push({ path, sha256: await hashFile(join(directory, path), signal) });
  return files;
}

async function hashFile(file: string, signal: AbortSignal | undefined): Promise<string> {
  const handle = await open(file, 'r').catch((error: Error) => {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: error.message }, error);
  });
  try {
    const hash = createHash('sha256');
    const buffer = new Uint8Array(1 << 20);
    for (;;) {
      throwIfAborted(signal, 'hashing');
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await handle.close();
  }
}
