import type { FileSystem } from '@pare/core';
import { createSha256 } from '#system';

/** Bytes from which on a thread is worth its start. */
const largeFile = 2 ** 25;

/** Size and SHA-256, hexadecimal, of a whole file; a large one is hashed beside other work where the system can. Rejects with the signal's reason. */
export async function hashFile(files: FileSystem, path: string, signal?: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }> {
  signal?.throwIfAborted();
  const size = (await files.status(path))?.bytes ?? 0;
  if (files.hash !== undefined && size >= largeFile) return { bytes: size, sha256: await files.hash(path, signal) };
  const hash = createSha256();
  let bytes = 0;
  for await (const piece of files.chunks(path)) {
    signal?.throwIfAborted();
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.hex() };
}
