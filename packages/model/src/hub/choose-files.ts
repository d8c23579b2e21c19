import { pareError } from '@pare/core';
import { isCompanionFile } from '../open/companion-files.js';
import { configFileName } from '../open/read-config.js';
import { indexFileName, parseShardIndex, singleFileName } from '../store/shard-index.js';

/** The files of a repository that a model is opened from, by their paths. */
export interface ChosenFiles {
  /** Configuration, tokenizer and the like, and the shard index. */
  readonly small: readonly string[];
  /** The weight file, or undefined when the index lists them. */
  readonly weights: string | undefined;
}

/**
 * Picks what a model needs: configuration, tokenizer, and safetensors weights; no duplicates in other formats.
 *
 * @throws PARE_MODEL_NOT_FOUND without a configuration, PARE_WEIGHTS_MISSING without safetensors
 */
export function chooseFiles(model: string, paths: readonly string[]): ChosenFiles {
  if (!paths.includes(configFileName)) throw pareError('PARE_MODEL_NOT_FOUND', { model, reason: 'the repository has no config.json' });
  const small = paths.filter((path) => path === configFileName || isCompanionFile(path));
  if (paths.includes(singleFileName)) return { small, weights: singleFileName };
  if (paths.includes(indexFileName)) return { small: [...small, indexFileName], weights: undefined };
  throw pareError('PARE_WEIGHTS_MISSING', { directory: model, found: paths.filter((path) => /\.(safetensors|bin|pt|pth|h5|msgpack|gguf|onnx)$/.test(path)) });
}

/** The weight files that a downloaded shard index names. @throws PARE_SHARD_INDEX_INVALID, PARE_SHARD_PATH_UNSAFE, PARE_SHARD_MISSING */
export function chooseShards(model: string, indexText: string, paths: readonly string[]): string[] {
  const file = `${model}/${indexFileName}`;
  const shards = [...parseShardIndex(file, indexText).keys()];
  const missing = shards.filter((shard) => !paths.includes(shard));
  if (missing.length > 0) throw pareError('PARE_SHARD_MISSING', { file, missing, found: paths.filter((path) => path.endsWith('.safetensors')) });
  return shards;
}
