import {
  elementCount,
  float32Tensor,
  nearest,
  pareError,
  tensorBytes,
  type DecoderDescription,
  type FileSystem,
  type HostTensor,
  type Model,
  type ModelConfig,
  type ModuleInfo,
  type TensorInfo,
  type WeightForm,
} from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { requireFinite } from '../store/finite.js';
import type { TensorStore } from '../store/tensor-store.js';
import { toStored, transpose } from './convert.js';
import type { StoredName } from './names.js';
import type { StoredWeight } from './quantization/stored-weight.js';

/** What `openModel` found out about a folder. */
export interface StoredModelParts {
  readonly name: string;
  readonly directory: string;
  readonly files: FileSystem;
  readonly config: ModelConfig;
  readonly description: DecoderDescription;
  readonly companionFiles: readonly string[];
  readonly modules: readonly ModuleInfo[];
  readonly tensors: readonly TensorInfo[];
  /** Compressed matrices by module name. */
  readonly packed: ReadonlyMap<string, StoredWeight>;
  readonly store: TensorStore;
  readonly stored: StoredName;
  readonly describe: (config: ModelConfig) => DecoderDescription;
}

/** A model that knows what each of its matrices takes in storage, and how configurations are read. */
export interface SizedModel extends Model {
  /** Bytes of a module's weight as stored: 0 for one that shares another's. */
  storedBytes(module: string): number;
  /** What a configuration of the model's architecture describes. @throws PARE_CONFIG_INVALID */
  describe(config: ModelConfig): DecoderDescription;
}

/** Stored bytes of a module's weight, or its dense bytes for models of other makes. */
export function storedBytes(model: Model, module: string): number {
  if ('storedBytes' in model) return (model as SizedModel).storedBytes(module);
  const info = model.modules.find(({ name }) => name === module);
  return info === undefined || info.sharedWith !== undefined ? 0 : tensorBytes(info);
}

/** What a configuration describes in the eyes of a model's architecture; the model's own description for models of other makes. */
export function describeLike(model: Model, config: ModelConfig): DecoderDescription {
  return 'describe' in model ? (model as SizedModel).describe(config) : model.description;
}

/** A model folder. Holds file handles and no weights. */
export class StoredModel implements SizedModel {
  readonly name: string;
  readonly directory: string;
  readonly files: FileSystem;
  readonly config: ModelConfig;
  readonly description: DecoderDescription;
  readonly companionFiles: readonly string[];
  readonly modules: readonly ModuleInfo[];
  readonly tensors: readonly TensorInfo[];
  readonly parameters: number;
  readonly bytes: number;
  readonly describe: (config: ModelConfig) => DecoderDescription;
  readonly #packed: ReadonlyMap<string, StoredWeight>;
  readonly #store: TensorStore;
  readonly #stored: StoredName;
  readonly #modules: ReadonlyMap<string, ModuleInfo>;
  readonly #names: ReadonlySet<string>;
  /** Tensors found finite once; a weight is read several times in a run. */
  readonly #finite = new Set<string>();

  constructor(parts: StoredModelParts) {
    this.name = parts.name;
    this.directory = parts.directory;
    this.files = parts.files;
    this.config = parts.config;
    this.description = parts.description;
    this.companionFiles = parts.companionFiles;
    this.modules = parts.modules;
    this.tensors = parts.tensors;
    this.parameters = parts.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    this.describe = parts.describe;
    this.#packed = parts.packed;
    this.#store = parts.store;
    this.#stored = parts.stored;
    this.#modules = new Map(parts.modules.map((info) => [info.name, info]));
    this.#names = new Set(parts.tensors.map(({ name }) => name));
    this.bytes = parts.tensors.reduce((sum, tensor) => sum + (this.#packed.get(moduleOfWeight(tensor.name))?.bytes ?? tensorBytes(tensor)), 0);
  }

  has(name: string): boolean {
    return this.#names.has(name) || this.#store.has(name);
  }

  async weight(module: string): Promise<WeightForm> {
    const info = this.#module(module);
    if (info.sharedWith !== undefined) return { form: 'shared', shape: info.shape, with: info.sharedWith };
    const packed = this.#packed.get(module);
    if (packed !== undefined) return packed.read();
    const tensor = await this.#read(`${module}.weight`);
    return { form: 'dense', shape: info.shape, tensor: info.layout === 'in-out' ? transpose(tensor) : tensor };
  }

  async denseWeight(module: string): Promise<HostTensor & { readonly data: Float32Array }> {
    const form = await this.weight(module);
    return form.form === 'shared' ? this.denseWeight(form.with) : float32Tensor(form.shape, denseFloat32(form));
  }

  async tensor(name: string): Promise<HostTensor> {
    const info = this.#modules.get(moduleOfWeight(name));
    if (info?.sharedWith !== undefined) return this.tensor(`${info.sharedWith}.weight`);
    const packed = info === undefined ? undefined : this.#packed.get(info.name);
    if (info !== undefined && packed !== undefined) return toStored(denseFloat32(await packed.read()), packed.shape, info.dtype, info.layout);
    return this.#read(name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#store[Symbol.asyncDispose]();
  }

  storedBytes(module: string): number {
    const info = this.#module(module);
    return info.sharedWith !== undefined ? 0 : (this.#packed.get(module)?.bytes ?? tensorBytes(info));
  }

  async #read(name: string): Promise<HostTensor> {
    const stored = this.#names.has(name) ? this.#stored(name) : name;
    if (!this.#store.has(stored)) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: this.name });
    const tensor = await this.#store.read(stored);
    if (!this.#finite.has(stored)) {
      requireFinite(stored, tensor);
      this.#finite.add(stored);
    }
    return tensor;
  }

  #module(name: string): ModuleInfo {
    return findModule(this.#modules, name);
  }
}

/** The module whose weight has this tensor name: `a.b` for `a.b.weight`. */
export function moduleOfWeight(tensor: string): string {
  return tensor.replace(/\.weight$/, '');
}

/** A module by name. @throws PARE_MODULE_UNKNOWN with the nearest name */
export function findModule(modules: ReadonlyMap<string, ModuleInfo>, name: string): ModuleInfo {
  const info = modules.get(name);
  if (info === undefined) throw pareError('PARE_MODULE_UNKNOWN', { module: name, nearest: nearest(name, [...modules.keys()]) });
  return info;
}
