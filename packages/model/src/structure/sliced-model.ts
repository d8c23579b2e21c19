import {
  elementCount,
  float32Tensor,
  pareError,
  tensorBytes,
  type DecoderDescription,
  type FileSystem,
  type HostTensor,
  type Model,
  type ModelConfig,
  type ModelRemoval,
  type ModuleInfo,
  type TensorInfo,
  type WeightForm,
} from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { contentsOf } from '../open/contents.js';
import { fromFloat32, transpose } from '../open/convert.js';
import { describeLike, findModule, moduleOfWeight, storedBytes, type SizedModel } from '../open/stored-model.js';
import { KeptIndices } from './kept-indices.js';
import { impossible, resizeDescription, type BlockSizes, type DecoderSizes } from './resize-description.js';
import { prunedConfig } from './structure-config.js';

/**
 * A model without the slices, tensors and blocks of a removal. Nothing is copied: weights are read from the base and cut when asked for. Its configuration is a stock one where that
 * can describe it (`structureKey` otherwise). Disposing it leaves the base open.
 *
 * @throws PARE_TENSOR_UNKNOWN for slices of tensors that the model lacks; PARE_STRUCTURE_IMPOSSIBLE when what remains is no decoder that a description can hold: slices that are coupled
 *   were not removed together, a layer was emptied, or only some channels of a head go
 */
export function sliceModel(base: Model, removal: ModelRemoval): Model {
  return new SlicedModel(base, removal);
}

class SlicedModel implements SizedModel {
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
  readonly #kept: KeptIndices;
  readonly #modules: ReadonlyMap<string, ModuleInfo>;
  /** Names in the base of tensors (also those that share another's) and modules. */
  readonly #sources: ReadonlyMap<string, string>;
  readonly #layouts: ReadonlyMap<string, ModuleInfo['layout']>;

  constructor(base: Model, removal: ModelRemoval) {
    this.#base = base;
    this.#kept = new KeptIndices(removal);
    this.name = base.name;
    this.directory = base.directory;
    this.files = base.files;
    this.companionFiles = base.companionFiles;

    const shapes = logicalShapes(base);
    for (const tensor of [...this.#kept.tensors, ...removal.removed]) if (!shapes.has(tensor)) throw pareError('PARE_TENSOR_UNKNOWN', { tensor, model: base.name });
    const shapeOf = (tensor: string): number[] => this.#kept.shape(tensor, shapes.get(tensor)!);

    const { description, kept, sizes, remaining } = prune(base.description, removal, shapeOf);
    this.description = description;
    this.config = prunedConfig(base.config, description, kept, sizes, (config) => describeLike(base, config));

    // The same structure lists its parts in the same order, so old and new names go in pairs.
    const [before, after] = [contentsOf(remaining), contentsOf(description)];
    const infos = new Map(base.tensors.map((info) => [info.name, info]));
    const baseModules = new Map(base.modules.map((info) => [info.name, info]));
    this.modules = after.modules.map((module, index): ModuleInfo => {
      const source = baseModules.get(before.modules[index]!.name)!;
      const touched = this.#kept.touches(`${source.sharedWith ?? source.name}.weight`);
      return { ...source, ...module, sharedWith: source.sharedWith, ...(touched && source.form !== 'shared' ? { form: 'dense', rank: undefined } : {}) };
    });
    this.#modules = new Map(this.modules.map((info) => [info.name, info]));
    this.#layouts = new Map(this.modules.map((info) => [`${info.name}.weight`, info.layout]));
    this.#sources = new Map([
      ...after.tensors.map(({ name }, index): [string, string] => [name, before.tensors[index]!.name]),
      ...after.modules.map(({ name }, index): [string, string] => [name, before.modules[index]!.name]),
    ]);
    this.tensors = after.tensors.map(({ name, shape }, index): TensorInfo => {
      const source = before.tensors[index]!.name;
      const logical = this.#layouts.get(name) === 'in-out' ? [...shape].reverse() : shape;
      const found = shapeOf(source);
      if (String(found) !== String(logical)) throw impossible(`${source} would be left with shape [${found.join(', ')}], ${name} has [${logical.join(', ')}]`, 'removing whole groups of coupled slices, as @pare/dependency-groups gives them');
      return { ...infos.get(source)!, name, shape };
    });
    this.parameters = this.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    this.bytes = this.tensors.reduce((sum, tensor) => sum + (this.#modules.has(moduleOfWeight(tensor.name)) ? this.storedBytes(moduleOfWeight(tensor.name)) : tensorBytes(tensor)), 0);
  }

  has(name: string): boolean {
    return this.#sources.has(name);
  }

  async weight(module: string): Promise<WeightForm> {
    const info = findModule(this.#modules, module);
    if (info.sharedWith !== undefined) return { form: 'shared', shape: info.shape, with: info.sharedWith };
    const source = this.#sources.get(module)!;
    const form = await this.#base.weight(source);
    if (!this.#kept.touches(`${source}.weight`)) return form;
    const dense: HostTensor = form.form === 'dense' ? form.tensor : { dtype: info.dtype, shape: form.shape, data: fromFloat32(denseFloat32(form as Exclude<WeightForm, { form: 'shared' }>), info.dtype) };
    return { form: 'dense', shape: info.shape, tensor: this.#kept.apply(`${source}.weight`, dense) };
  }

  async denseWeight(module: string): Promise<HostTensor & { readonly data: Float32Array }> {
    const info = findModule(this.#modules, module);
    if (info.sharedWith !== undefined) return this.denseWeight(info.sharedWith);
    const source = this.#sources.get(module)!;
    const { shape, data } = this.#kept.apply(`${source}.weight`, await this.#base.denseWeight(source));
    return float32Tensor(shape, data as Float32Array);
  }

  async tensor(name: string): Promise<HostTensor> {
    const info = this.#modules.get(moduleOfWeight(name));
    if (info?.sharedWith !== undefined) return this.tensor(`${info.sharedWith}.weight`);
    const source = this.#sources.get(name);
    if (source === undefined) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: this.name });
    const tensor = await this.#base.tensor(source);
    if (this.#layouts.get(name) !== 'in-out') return this.#kept.apply(source, tensor);
    return this.#kept.touches(source) ? transpose(this.#kept.apply(source, transpose(tensor))) : tensor;
  }

  /** The base belongs to whoever opened it. */
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  storedBytes(module: string): number {
    const info = findModule(this.#modules, module);
    if (info.sharedWith !== undefined) return 0;
    const source = this.#sources.get(module)!;
    return this.#kept.touches(`${source}.weight`) ? tensorBytes(info) : storedBytes(this.#base, source);
  }

  describe(config: ModelConfig): DecoderDescription {
    return describeLike(this.#base, config);
  }
}

/** Shapes of all tensors of a model, matrices as [out, in]. */
function logicalShapes(model: Model): Map<string, readonly number[]> {
  return new Map([...model.tensors.map(({ name, shape }): [string, readonly number[]] => [name, shape]), ...model.modules.map(({ name, shape }): [string, readonly number[]] => [`${name}.weight`, shape])]);
}

/** What remains of a description: under its old names and sizes, and as the description of the smaller model. */
function prune(description: DecoderDescription, removal: ModelRemoval, shapeOf: (tensor: string) => readonly number[]): {
  readonly description: DecoderDescription;
  readonly kept: readonly number[];
  readonly sizes: DecoderSizes;
  readonly remaining: DecoderDescription;
} {
  const removed = new Set(removal.removed);
  const dropped = new Set(removal.blocks);
  const stranger = removal.blocks.find((index) => description.blocks[index] === undefined);
  const kept = description.blocks.flatMap((_, index) => (dropped.has(index) ? [] : [index]));
  if (stranger !== undefined || kept.length === 0) {
    throw impossible(stranger === undefined ? 'no block would remain' : `there is no block ${String(stranger)}`, `some of the blocks 0 to ${String(description.blocks.length - 1)}`);
  }
  const blocks = kept.map((index) => {
    const block = description.blocks[index]!;
    if (block.mlp.kind !== 'moe') return block;
    const experts = block.mlp.experts.filter(({ gate }) => !removed.has(`${gate.module}.weight`));
    return { ...block, mlp: { ...block.mlp, experts } };
  });
  const inputs = (module: string): number => shapeOf(`${module}.weight`)[1]!;
  const sizes: DecoderSizes = {
    hiddenSize: shapeOf(`${description.embedding.module}.weight`)[1]!,
    blocks: blocks.map(({ attention, mlp }): BlockSizes => {
      const { projections, headSize } = attention;
      const heads = inputs(attention.output.module) / headSize;
      const rows = shapeOf(`${projections.kind === 'separate' ? projections.key.module : projections.fused.module}.weight`)[0]! / headSize;
      return {
        heads,
        kvHeads: projections.kind === 'separate' ? rows : (rows - heads) / 2,
        neurons: mlp.kind === 'moe' ? mlp.experts.map(({ down }) => inputs(down.module)) : [inputs(mlp.down.module)],
      };
    }),
  };
  const originals = kept.map((index) => description.blocks[index]!);
  return { description: resizeDescription(description, originals, sizes), kept, sizes, remaining: { ...description, blocks } };
}
