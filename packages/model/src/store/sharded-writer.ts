import { tensorBytes, type FileSystem } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { diskError, requireDiskSpace } from './disk.js';
import { defaultMetadata, writeSafetensors, type TensorEntry, type WriteOptions, type WrittenTensorFile } from './safetensors-writer.js';
import { indexFileName, singleFileName } from './shard-index.js';

/** Bytes of tensors in one weight file unless told otherwise: the 5 GB of the Hugging Face libraries. */
export const defaultShardBytes = 5_000_000_000;

export interface ShardedWriteOptions extends WriteOptions {
  /** Most bytes of tensors in one file; a larger tensor gets a file of its own. */
  readonly maximumShardBytes?: number | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/**
 * Writes a model's weights into a folder: `model.safetensors` when they fit into one file, else `model-00001-of-0000N.safetensors`, … and
 * `model.safetensors.index.json`. Tensors keep the order given, are read one after another (the next while one is written), and never straddle files.
 *
 * @returns Every file written, index included.
 * @throws PARE_DISK_FULL
 */
export async function writeShardedSafetensors(
  directory: string,
  entries: Iterable<TensorEntry>,
  options: ShardedWriteOptions = {},
): Promise<readonly WrittenTensorFile[]> {
  const shards = splitIntoShards([...entries], options.maximumShardBytes ?? defaultShardBytes);
  const { metadata = defaultMetadata, files: fileSystem = defaultFiles } = options;
  const { join } = fileSystem.path;
  if (shards.length <= 1) return [await writeSafetensors(join(directory, singleFileName), shards[0] ?? [], metadata, options)];

  const totalBytes = shards.flat().reduce((sum, entry) => sum + tensorBytes(entry), 0);
  await requireDiskSpace(directory, totalBytes, fileSystem);
  const files: WrittenTensorFile[] = [];
  const weightMap: [tensor: string, file: string][] = [];
  let before = 0;
  for (const [index, shard] of shards.entries()) {
    const name = `model-${numbered(index + 1)}-of-${numbered(shards.length)}.safetensors`;
    const start = before;
    const progress = options.onProgress;
    files.push(
      await writeSafetensors(join(directory, name), shard, metadata, {
        signal: options.signal,
        files: fileSystem,
        onProgress: progress && ((state) => progress({ ...state, bytes: start + state.bytes, totalBytes })),
      }),
    );
    before += shard.reduce((sum, entry) => sum + tensorBytes(entry), 0);
    for (const entry of shard) weightMap.push([entry.name, name]);
  }
  files.push(await writeIndex(join(directory, indexFileName), weightMap, totalBytes, fileSystem));
  return files;
}

/** Fills one shard after the other, in order. */
export function splitIntoShards(entries: readonly TensorEntry[], maximumBytes: number): TensorEntry[][] {
  const shards: TensorEntry[][] = [];
  let room = 0;
  for (const entry of entries) {
    const bytes = tensorBytes(entry);
    if (shards.length === 0 || bytes > room) {
      shards.push([]);
      room = maximumBytes;
    }
    shards.at(-1)!.push(entry);
    room -= bytes;
  }
  return shards;
}

async function writeIndex(path: string, weightMap: [string, string][], totalBytes: number, files: FileSystem): Promise<WrittenTensorFile> {
  const sorted = weightMap.sort(([a], [b]) => (a < b ? -1 : 1));
  const text = `${JSON.stringify({ metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(sorted) }, undefined, 2)}\n`;
  const bytes = new TextEncoder().encode(text).length;
  try {
    await files.writeText(path, text);
  } catch (error) {
    throw diskError(path, bytes, error);
  }
  return { path, bytes };
}

function numbered(value: number): string {
  return String(value).padStart(5, '0');
}
