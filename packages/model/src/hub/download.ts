import { pareError } from '@pare/core';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { diskError } from '../store/disk.js';
import { sizeOf } from './hub-cache.js';

/** A file of a repository as the hub lists it. */
export interface RemoteFile {
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of the content for large files, git's blob hash for the others; also the name of the blob in the cache. */
  readonly hash: string;
  readonly hashKind: 'sha256' | 'git';
}

/** Gives the content of a file from a byte on. */
export type OpenRange = (start: number) => Promise<ReadableStream<Uint8Array>>;

/**
 * Downloads a file to `target`. Bytes collect in `<target>.incomplete`, which a later call continues; the finished file is checked against
 * the hub's hash before it gets its name.
 *
 * @param onBytes Bytes that are present so far.
 * @throws PARE_HUB_DOWNLOAD_DAMAGED, PARE_DISK_FULL, and whatever `open` and the stream throw
 */
export async function downloadTo(target: string, file: RemoteFile, open: OpenRange, onBytes: (bytes: number) => void): Promise<void> {
  const partial = `${target}.incomplete`;
  await mkdir(dirname(target), { recursive: true });
  let present = (await sizeOf(partial)) ?? 0;
  // Longer than the file: the leftover of something else.
  if (present > file.bytes) {
    await rm(partial);
    present = 0;
  }
  onBytes(present);
  if (present < file.bytes || file.bytes === 0) {
    const source = file.bytes === 0 ? Readable.from([]) : Readable.fromWeb(await open(present));
    const counted = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunks) {
        yield chunk;
        onBytes((present += chunk.length));
      }
    };
    await pipeline(source, counted, createWriteStream(partial, { flags: 'a' })).catch((error: unknown) => {
      throw diskError(partial, file.bytes, error);
    });
  }
  await check(partial, file);
  await rename(partial, target);
}

async function check(path: string, file: RemoteFile): Promise<void> {
  const damaged = async (found: string, expected: string): Promise<never> => {
    await rm(path, { force: true });
    throw pareError('PARE_HUB_DOWNLOAD_DAMAGED', { file: file.path, found, expected });
  };
  const bytes = (await sizeOf(path)) ?? 0;
  if (bytes !== file.bytes) await damaged(`${String(bytes)} bytes`, `${String(file.bytes)} bytes`);
  const hash = createHash(file.hashKind === 'sha256' ? 'sha256' : 'sha1');
  // git hashes a blob behind a header of its own.
  if (file.hashKind === 'git') hash.update(`blob ${String(bytes)}\0`);
  await pipeline(createReadStream(path), hash);
  const found = hash.digest('hex');
  if (found !== file.hash) await damaged(`hash ${found}`, `hash ${file.hash}`);
}
