import { pareError, type FileSystem } from '@pare/core';
import { readText } from './read-file.js';
import { findDuplicateKey } from './duplicate-key.js';

/** Name of the weight file of an unsharded model. */
export const singleFileName = 'model.safetensors';
/** Name of the list of a sharded model's weight files. */
export const indexFileName = 'model.safetensors.index.json';

/** Tensor names of each weight file, as `model.safetensors.index.json` lists them. */
export type ShardIndex = ReadonlyMap<string, readonly string[]>;

/**
 * Reads a shard index. File names that would leave the model folder are refused before any of them is opened.
 *
 * @throws PARE_FILE_UNREADABLE, PARE_SHARD_INDEX_INVALID, PARE_SHARD_PATH_UNSAFE
 */
export async function readShardIndex(file: string, files: FileSystem): Promise<ShardIndex> {
  return parseShardIndex(file, await readText(file, files));
}

/** Parses the text of a shard index; `file` is for messages. */
export function parseShardIndex(file: string, text: string): ShardIndex {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw pareError('PARE_SHARD_INDEX_INVALID', { file, found: `it is not JSON (${(cause as Error).message})` }, cause);
  }
  const map = typeof parsed === 'object' && parsed !== null ? (parsed as { weight_map?: unknown }).weight_map : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw pareError('PARE_SHARD_INDEX_INVALID', { file, found: 'it has no "weight_map" object' });
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw pareError('PARE_SHARD_INDEX_INVALID', { file, found: `it names ${JSON.stringify(duplicate)} twice` });

  const shards = new Map<string, string[]>();
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== 'string')
      throw pareError('PARE_SHARD_INDEX_INVALID', { file, found: `tensor "${tensor}" has ${JSON.stringify(shard)} for a file name` });
    if (!isInsideFolder(shard)) throw pareError('PARE_SHARD_PATH_UNSAFE', { file, tensor, found: shard });
    const tensors = shards.get(shard);
    if (tensors === undefined) shards.set(shard, [tensor]);
    else tensors.push(tensor);
  }
  if (shards.size === 0) throw pareError('PARE_SHARD_INDEX_INVALID', { file, found: 'its "weight_map" is empty' });
  return shards;
}

/** True for a relative path in either system's spelling whose parts are ordinary names. */
export function isInsideFolder(path: string): boolean {
  const parts = path.split(/[\\/]/);
  return !path.includes('\0') && !/^[A-Za-z]:/.test(path) && parts.every((part) => part !== '' && part !== '.' && part !== '..');
}
