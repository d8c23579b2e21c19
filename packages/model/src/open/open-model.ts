import { nearest, pareError, throwIfAborted, type Architecture, type DType, type FileSystem, type Model, type ModuleInfo, type TensorInfo } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { TensorStore } from '../store/tensor-store.js';
import { findCompanionFiles } from './companion-files.js';
import { contentsOf, type ModelContents } from './contents.js';
import { matchNames, type StoredName } from './names.js';
import { PartsReader } from './quantization/parts-reader.js';
import { readQuantization } from './quantization/read-quantization.js';
import type { StoredQuantization, StoredWeight } from './quantization/stored-weight.js';
import { configFileName, describeConfig, findArchitecture, readConfig } from './read-config.js';
import { StoredModel } from './stored-model.js';

export interface OpenModelOptions {
  /** Plugins that may describe the model. */
  readonly architectures: readonly Architecture[];
  /** Where the folder lies; the system's own files by default. */
  readonly files?: FileSystem | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Types of dense weights. */
const weightTypes: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64'];

/**
 * Opens a Hugging Face model folder: configuration, description, checked weight files; no weight is read. Every tensor that the
 * configuration implies must be there in its shape. Folders compressed with compressed-tensors, GPTQ or AWQ open as well: their
 * matrices are quantized forms under the names of the dense ones.
 *
 * Tensors and modules carry the names of the description, whatever prefix the checkpoint leaves out or adds. Dispose the model to close
 * its files.
 *
 * @throws PARE_FILE_UNREADABLE, PARE_CONFIG_INVALID, PARE_ARCHITECTURE_UNKNOWN, PARE_QUANTIZATION_UNSUPPORTED, PARE_WEIGHTS_MISSING,
 *   PARE_SHARD_…, PARE_SAFETENSORS_…, PARE_MODEL_TENSOR_MISSING, PARE_MODEL_TENSOR_SHAPE
 */
export async function openModel(directory: string, options: OpenModelOptions): Promise<Model> {
  throwIfAborted(options.signal, `opening ${directory}`);
  const { files = defaultFiles } = options;
  const configFile = files.path.join(directory, configFileName);
  const config = await readConfig(configFile, files);
  const architecture = findArchitecture(configFile, config, options.architectures);
  const description = describeConfig(configFile, config, architecture);
  const quantization = await readQuantization(directory, configFile, config, files);
  const companionFiles = await findCompanionFiles(directory, files);
  const store = await TensorStore.open(directory, options.signal, files);
  try {
    const stored = matchNames(`${description.embedding.module}.weight`, architecture.basePrefix, store.names);
    const contents = contentsOf(description);
    const packed = findCompressed(configFile, store, stored, contents, quantization);
    const tensors = checkTensors(store, stored, contents, packed);
    const modules = completeModules(contents, tensors, packed);
    const name = files.path.basename(files.path.resolve(directory));
    return new StoredModel({ name, directory, files, config, description, companionFiles, modules, tensors, packed, store, stored, describe: (other) => describeConfig(configFile, other, architecture) });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** Tensors that only compressed matrices have. */
const compressedParts = ['weight_packed', 'qweight'] as const;

/** The compressed matrices by module. A packed tensor that the configuration does not account for is refused. */
function findCompressed(file: string, store: TensorStore, stored: StoredName, contents: ModelContents, quantization: StoredQuantization | undefined): Map<string, StoredWeight> {
  const embedding = stored(`${contents.modules[0]!.name}.weight`);
  const dense = store.has(embedding) ? store.info(embedding).dtype : 'float32';
  const found = new Map<string, StoredWeight>();
  for (const module of contents.modules) {
    if (module.sharedWith !== undefined) continue;
    const parts = new PartsReader(store, stored, module.name);
    const weight = quantization?.find(parts, module, dense);
    if (weight !== undefined) found.set(module.name, weight);
    else if (compressedParts.some((part) => parts.has(part))) {
      throw pareError('PARE_QUANTIZATION_UNSUPPORTED', { file, path: 'quantization_config', found: `without an account of "${module.name}", whose weights are packed`, allowed: 'an account of every packed matrix' });
    }
  }
  return found;
}

function checkTensors(store: TensorStore, stored: StoredName, contents: ModelContents, packed: ReadonlyMap<string, StoredWeight>): TensorInfo[] {
  const wanted = new Set(contents.tensors.map(({ name }) => stored(name)));
  return contents.tensors.map(({ name, shape, module }): TensorInfo => {
    const compressed = module === undefined ? undefined : packed.get(module);
    if (compressed !== undefined) return { name, dtype: compressed.dtype, shape };
    const place = stored(name);
    const expected = `[${shape.join(', ')}]`;
    if (!store.has(place)) {
      // A slip in a name leaves a stored tensor that nothing asks for.
      const spare = store.names.filter((candidate) => !wanted.has(candidate));
      throw pareError('PARE_MODEL_TENSOR_MISSING', { file: store.directory, tensor: place, expected, nearest: nearest(place, spare) });
    }
    const info = store.info(place);
    if (info.shape.length !== shape.length || info.shape.some((size, axis) => size !== shape[axis])) {
      throw pareError('PARE_MODEL_TENSOR_SHAPE', { file: store.fileOf(place), tensor: place, found: `[${info.shape.join(', ')}]`, expected });
    }
    if (!weightTypes.includes(info.dtype)) {
      throw pareError('PARE_MODEL_TENSOR_SHAPE', { file: store.fileOf(place), tensor: place, found: info.byteType ?? info.dtype, expected: weightTypes.join(', ') });
    }
    return { name, dtype: info.dtype, shape };
  });
}

function completeModules(contents: ModelContents, tensors: readonly TensorInfo[], packed: ReadonlyMap<string, StoredWeight>): ModuleInfo[] {
  const dtypes = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
  return contents.modules.map((module): ModuleInfo => {
    const dtype = dtypes.get(`${module.sharedWith ?? module.name}.weight`)!;
    return { ...module, dtype, form: module.sharedWith !== undefined ? 'shared' : packed.has(module.name) ? 'quantized' : 'dense', input: packed.get(module.name)?.input };
  });
}
