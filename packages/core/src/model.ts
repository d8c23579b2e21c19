import type { DecoderDescription, LinearLayout, ModelConfig } from './architecture.js';
import type { DType } from './dtype.js';
import type { FileSystem } from './files.js';
import { serviceRef, type ServiceRef } from './service.js';
import type { HostTensor } from './tensor.js';
import type { InputScheme, WeightForm } from './weights.js';

/** What kind of weight a module is. Recipes target kinds: `include: ["linear"]`. */
export type ModuleKind = 'linear' | 'embedding' | 'head' | 'router';

/** Place of a linear layer in its block; modules of one step share their input. */
export type ModuleRole =
  | 'attention.query'
  | 'attention.key'
  | 'attention.value'
  | 'attention.qkv'
  | 'attention.output'
  | 'mlp.gate'
  | 'mlp.up'
  | 'mlp.gate-up'
  | 'mlp.down'
  | 'mlp.router'
  | 'embedding'
  | 'head';

/** A weight matrix that a technique may change. */
export interface ModuleInfo {
  /** Tensor name without `.weight`: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly kind: ModuleKind;
  readonly role: ModuleRole;
  /** Index of the block, or undefined outside blocks. */
  readonly block: number | undefined;
  /** Index of the expert in a mixture, else undefined. */
  readonly expert: number | undefined;
  /** Order of execution inside the block, 0 first; modules of equal step read the same input or are independent. */
  readonly step: number;
  /** [out, in], whatever the storage layout. */
  readonly shape: readonly [number, number];
  readonly layout: LinearLayout;
  /** Stored type of the dense weight. */
  readonly dtype: DType;
  readonly bias: boolean;
  /** The module whose weights this one shares, if tied. */
  readonly sharedWith: string | undefined;
  /** Scheme of the stored weights when the source is compressed already. */
  readonly form: WeightForm['form'];
  /** Inner width of a factorized weight, where it is known without reading it. */
  readonly rank?: number | undefined;
  /** How the layer's inputs are rounded before the product; absent when they stay floating point. */
  readonly input?: InputScheme | undefined;
}

/** A tensor of the model in its logical (dense) shape. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What is known of a model without reading weights. */
export interface ModelSummary {
  readonly name: string;
  readonly description: DecoderDescription;
  readonly config: ModelConfig;
  readonly modules: readonly ModuleInfo[];
  readonly tensors: readonly TensorInfo[];
  /** Logical elements, shared ones once. */
  readonly parameters: number;
  /** Bytes of the stored weights. */
  readonly bytes: number;
}

/** A model whose weights are read on demand: a folder, or a folder with some weights replaced by a recipe's results. */
export interface Model extends ModelSummary, AsyncDisposable {
  /** Folder of the source files. */
  readonly directory: string;
  /** The files that the folder is among. */
  readonly files: FileSystem;
  /** Files beside the weights (tokenizer, generation config, chat template, licence), relative to the folder. */
  readonly companionFiles: readonly string[];
  /** The weights of a module as they are held, [out, in]. @throws PARE_MODULE_UNKNOWN */
  weight(module: string): Promise<WeightForm>;
  /** Any tensor by its stored name, dense, in its stored type and layout; compressed weights are multiplied out. @throws PARE_TENSOR_UNKNOWN */
  tensor(name: string): Promise<HostTensor>;
  /** A module's weights as dense float32 [out, in]. */
  denseWeight(module: string): Promise<HostTensor & { readonly data: Float32Array }>;
  /** True for a tensor that is present under this stored name. */
  has(name: string): boolean;
}

/** Opens further models for plugins, such as a teacher: a folder, or a hub name. The caller disposes them. */
export interface ModelOpener {
  /** @throws PARE_MODEL_NOT_FOUND and what else is wrong with it */
  open(model: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Model>;
}

/** The host's way to open a model. */
export const modelOpenerRef: ServiceRef<ModelOpener> = serviceRef<ModelOpener>('pare.models');
