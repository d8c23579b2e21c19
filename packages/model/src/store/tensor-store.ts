import { pareError, throwIfAborted, type FileSystem, type HostTensor } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import type { SafetensorsEntry } from './header.js';
import { unreadable } from './read-file.js';
import { SafetensorsFile } from './safetensors-file.js';
import { indexFileName, readShardIndex, singleFileName, type ShardIndex } from './shard-index.js';

/**
 * The stored tensors of a model folder: `model.safetensors`, or the files of `model.safetensors.index.json`. Every header is checked on
 * opening, no tensor is read. Names are as stored.
 */
export class TensorStore implements AsyncDisposable {
  readonly directory: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #places: ReadonlyMap<string, SafetensorsFile>;

  private constructor(directory: string, files: readonly SafetensorsFile[], places: ReadonlyMap<string, SafetensorsFile>) {
    this.directory = directory;
    this.#files = files;
    this.#places = places;
  }

  /**
   * Opens the weights of a folder.
   *
   * @throws PARE_FILE_UNREADABLE, PARE_WEIGHTS_MISSING, PARE_SHARD_…, PARE_SAFETENSORS_…
   */
  static async open(directory: string, signal?: AbortSignal, files: FileSystem = defaultFiles): Promise<TensorStore> {
    const listing = await listFolder(directory, files);
    const { join } = files.path;
    // An unsharded file wins over an index beside it, as in transformers.
    if (listing.includes(singleFileName)) {
      const file = await SafetensorsFile.open(join(directory, singleFileName), files);
      return new TensorStore(directory, [file], new Map(file.names.map((name) => [name, file])));
    }
    if (!listing.includes(indexFileName)) {
      const found = listing.filter((name) => /\.(safetensors|bin|pt|pth|h5|msgpack|gguf|onnx)$/.test(name));
      throw pareError('PARE_WEIGHTS_MISSING', { directory, found });
    }
    const index = await readShardIndex(join(directory, indexFileName), files);
    await requireShards(directory, index, listing, files);
    return TensorStore.#openShards(directory, index, signal, files);
  }

  static async #openShards(directory: string, index: ShardIndex, signal: AbortSignal | undefined, files: FileSystem): Promise<TensorStore> {
    const shards: SafetensorsFile[] = [];
    try {
      const places = new Map<string, SafetensorsFile>();
      for (const [shard, tensors] of index) {
        throwIfAborted(signal, `opening ${directory}`);
        const file = await SafetensorsFile.open(files.path.join(directory, shard), files);
        shards.push(file);
        const missing = tensors.filter((tensor) => !file.has(tensor));
        if (missing.length > 0) throw pareError('PARE_SHARD_TENSOR_MISSING', { file: files.path.join(directory, indexFileName), shard, missing });
        for (const tensor of tensors) places.set(tensor, file);
      }
      return new TensorStore(directory, shards, places);
    } catch (error) {
      await Promise.all(shards.map((file) => file[Symbol.asyncDispose]()));
      throw error;
    }
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** Type, shape and place of a tensor in its file. @throws PARE_TENSOR_UNKNOWN */
  info(name: string): SafetensorsEntry {
    return this.#file(name).info(name);
  }

  /** Path of the file that holds a tensor. @throws PARE_TENSOR_UNKNOWN */
  fileOf(name: string): string {
    return this.#file(name).path;
  }

  /** A tensor, in a fresh array of its stored type. @throws PARE_TENSOR_UNKNOWN */
  read(name: string, signal?: AbortSignal): Promise<HostTensor> {
    return this.#file(name).read(name, signal);
  }

  /** Bytes `start` (inclusive) to `end` (exclusive) of a tensor. */
  readBytes(name: string, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return this.#file(name).readBytes(name, start, end, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map((file) => file[Symbol.asyncDispose]()));
  }

  #file(name: string): SafetensorsFile {
    const file = this.#places.get(name);
    if (file === undefined) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: this.directory });
    return file;
  }
}

async function listFolder(directory: string, files: FileSystem): Promise<string[]> {
  try {
    return (await files.list(directory)).map(({ name }) => name).sort();
  } catch (cause) {
    throw unreadable(directory, cause);
  }
}

/** All missing files at once, so that one look tells what to fetch. */
async function requireShards(directory: string, index: ShardIndex, listing: readonly string[], files: FileSystem): Promise<void> {
  const missing: string[] = [];
  for (const shard of index.keys()) {
    // Links are followed: a link to a blob that was never downloaded counts as missing.
    const status = await files.status(files.path.join(directory, shard)).catch(() => undefined);
    if (status?.kind !== 'file') missing.push(shard);
  }
  if (missing.length > 0) {
    const found = listing.filter((name) => name.endsWith('.safetensors') && !missing.includes(name));
    throw pareError('PARE_SHARD_MISSING', { file: files.path.join(directory, indexFileName), missing, found });
  }
}
