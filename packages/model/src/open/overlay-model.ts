import {
  float32Tensor,
  pareError,
  tensorBytes,
  type DenseWeight,
  hostTensor,
  type DecoderDescription,
  type FileSystem,
  type HostTensor,
  type InputScheme,
  type Model,
  type ModelConfig,
  type ModuleInfo,
  type TensorInfo,
  type WeightForm,
  type WeightFormKind,
} from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { toStored } from './convert.js';
import { describeLike, findModule, moduleOfWeight, storedBytes, type SizedModel } from './stored-model.js';

/** What is known of a replaced weight before it is loaded. A technique's `ModulePlan` is one. */
export interface ReplacementSummary {
  readonly produces: WeightFormKind;
  readonly storedBits: number;
  /** What formats write, where that is another figure. */
  readonly writtenBits?: number | undefined;
  /** Inner width of a factorized weight, where known. */
  readonly rank?: number | undefined;
  /** How the layer's inputs are rounded, if they are. */
  readonly input?: InputScheme | undefined;
}

/**
 * A model with some modules' weights replaced, others read from the base. Nothing is copied: replacements are loaded when asked for, each
 * time anew, so peak memory is the caller's choice. Disposing it leaves the base open.
 *
 * @param replaced Loaders by module name. A loader may give a shared form to tie a module to another.
 * @param summaries Form and size of replacements where known. Others are taken for quantized, and the base's size stands for theirs.
 * @param adjusted Loaders of other tensors by stored name: norms, biases, and dense matrices [out, in] of modules that are not in `replaced`. Their types stay.
 * @throws PARE_MODULE_UNKNOWN for a replacement of no module, PARE_TENSOR_UNKNOWN for one of no tensor
 */
export function overlayModel(
  base: Model,
  replaced: ReadonlyMap<string, () => Promise<WeightForm>>,
  summaries: ReadonlyMap<string, ReplacementSummary> = new Map(),
  adjusted: ReadonlyMap<string, () => Promise<DenseWeight>> = new Map(),
): Model {
  const [weights, sizes, tensors] = [new Map(replaced), new Map(summaries), new Map<string, () => Promise<DenseWeight>>()];
  const modules = new Map(base.modules.map((info) => [`${info.name}.weight`, info]));
  for (const [name, load] of adjusted) {
    const info = modules.get(name);
    if (info === undefined) {
      if (!base.has(name)) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: base.name });
      tensors.set(name, load);
    } else if (!replaced.has(info.name)) {
      weights.set(info.name, load);
      sizes.set(info.name, { produces: 'dense', storedBits: 8 * tensorBytes(info) });
    }
  }
  return new OverlayModel(base, weights, sizes, tensors);
}

class OverlayModel implements SizedModel {
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
  readonly #base: Model;
  readonly #replaced: ReadonlyMap<string, () => Promise<WeightForm>>;
  readonly #adjusted: ReadonlyMap<string, () => Promise<DenseWeight>>;
  readonly #modules: ReadonlyMap<string, ModuleInfo>;
  readonly #tensors: ReadonlyMap<string, TensorInfo>;
  readonly #sizes: ReadonlyMap<string, number>;

  constructor(
    base: Model,
    replaced: ReadonlyMap<string, () => Promise<WeightForm>>,
    summaries: ReadonlyMap<string, ReplacementSummary>,
    adjusted: ReadonlyMap<string, () => Promise<DenseWeight>>,
  ) {
    this.#base = base;
    this.#replaced = replaced;
    this.#adjusted = adjusted;
    this.name = base.name;
    this.directory = base.directory;
    this.files = base.files;
    this.companionFiles = base.companionFiles;

    const baseModules = new Map(base.modules.map((info) => [info.name, info]));
    for (const name of replaced.keys()) findModule(baseModules, name);
    this.modules = base.modules.map((info) => this.#describe(info, summaries.get(info.name)));
    this.#modules = new Map(this.modules.map((info) => [info.name, info]));

    // A tied head that got weights of its own is a tensor and a description of its own from now on.
    const head = this.#modules.get(base.description.head.module);
    const untied = base.description.head.tied && head?.sharedWith === undefined && replaced.has(base.description.head.module);
    this.description = untied ? { ...base.description, head: { ...base.description.head, tied: false } } : base.description;
    this.config = untied ? { ...base.config, tie_word_embeddings: false } : base.config;
    const headTensor = untied && head !== undefined ? [{ name: `${head.name}.weight`, dtype: head.dtype, shape: head.shape }] : [];
    this.tensors = [...base.tensors, ...headTensor];
    this.#tensors = new Map(this.tensors.map((info) => [info.name, info]));
    this.parameters = base.parameters + headTensor.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
    this.#sizes = new Map([...summaries].filter(([name]) => replaced.has(name)).map(([name, { storedBits, writtenBits = storedBits }]) => [name, Math.ceil(writtenBits / 8)]));
    this.bytes = [...this.#sizes].reduce((sum, [name, bytes]) => sum + bytes - storedBytes(base, name), base.bytes);
  }

  has(name: string): boolean {
    return this.#tensors.has(name) || this.#base.has(name);
  }

  async weight(module: string): Promise<WeightForm> {
    findModule(this.#modules, module);
    const load = this.#replaced.get(module);
    return load === undefined ? this.#base.weight(module) : load();
  }

  async denseWeight(module: string): Promise<HostTensor & { readonly data: Float32Array }> {
    const form = await this.weight(module);
    if (form.form === 'shared') return this.denseWeight(form.with);
    const values = denseFloat32(form);
    // A float32 replacement is the loader's own array, perhaps one it keeps.
    const kept = form.form === 'dense' && values === form.tensor.data;
    return float32Tensor(form.shape, kept ? values.slice() : values);
  }

  async tensor(name: string): Promise<HostTensor> {
    const info = this.#modules.get(moduleOfWeight(name));
    if (info === undefined) return (await this.#adjusted.get(name)?.())?.tensor ?? this.#base.tensor(name);
    if (!this.#replaced.has(info.name)) return info.sharedWith === undefined ? this.#base.tensor(name) : this.tensor(`${info.sharedWith}.weight`);
    const form = await this.weight(info.name);
    if (form.form === 'shared') return this.tensor(`${form.with}.weight`);
    if (form.form === 'dense' && form.tensor.dtype === info.dtype && info.layout === 'out-in') return hostTensor(info.dtype, info.shape, form.tensor.data);
    return toStored(denseFloat32(form), info.shape, info.dtype, info.layout);
  }

  /** The base belongs to whoever opened it. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #describe(info: ModuleInfo, summary: ReplacementSummary | undefined): ModuleInfo {
    if (!this.#replaced.has(info.name)) return info;
    const form = summary?.produces ?? 'quantized';
    return { ...info, form, sharedWith: form === 'shared' ? info.sharedWith : undefined, ...(summary?.rank === undefined ? {} : { rank: summary.rank }), input: summary?.input };
  }

  describe(config: ModelConfig): DecoderDescription {
    return describeLike(this.#base, config);
  }

  /** Bytes that a module's weight takes in storage. */
  storedBytes(module: string): number {
    return this.#sizes.get(module) ?? storedBytes(this.#base, module);
  }
}
