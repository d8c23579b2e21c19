import type { Backend, HostTensor, ModelSummary, ModuleInfo, ModuleKind, ModuleReport, Technique, WeightForm } from '@pare/core';
import type { OptionSamples } from '../kit/identity-checks.js';
import type { ModelBench } from './model-bench.js';

/** A linear layer with the inputs it gets in calibration. */
export interface LayerSample {
  /** [out, in] float32. */
  readonly weight: HostTensor & { readonly data: Float32Array };
  /** [rows, in] float32. */
  readonly inputs: HostTensor;
}

/** What the suite asks the author's runner to do. */
export interface TechniqueRun<O> {
  readonly options: O;
  readonly modules: Readonly<Record<string, LayerSample>>;
  readonly backend: Backend;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** What became of one module. */
export interface TechniqueResult {
  readonly form: WeightForm;
  readonly report: ModuleReport;
}

export interface TechniqueConformanceOptions<O> extends OptionSamples {
  /**
   * Applies the technique to the layers and frees what the host would own. `runTechnique` of `@pare/testkit` fits as it is. Leave it out for techniques of scope `training` or `model`, which
   * need a model.
   */
  readonly run?: (technique: Technique<O>, request: TechniqueRun<O>) => Promise<ReadonlyMap<string, TechniqueResult>>;
  readonly makeBackend: () => Backend | Promise<Backend>;
  /** Further backends by name, on which every variant must give what it gives on the first: 99.5 % of the weights equal to a thousandth. */
  readonly otherBackends?: Readonly<Record<string, () => Backend | Promise<Backend>>>;
  /**
   * Variants whose weights hang on the last bit of a sum (grids that are taken from compensated weights, say), so that no two implementations of float32 arithmetic agree in
   * all of them. On other backends their losses must agree to 1 % instead.
   */
  readonly sensitive?: readonly string[];
  /** Options that fit the schema and that `check` must refuse for a module of this shape ([out, in]), with what it must say. */
  readonly refusals?: Readonly<Record<string, { readonly options: unknown; readonly shape: readonly [number, number]; readonly says: RegExp }>>;
  /** Layers to run on; by default three of random weights with in sizes 128 and 256. Change them when the technique cannot take those. */
  readonly layers?: Readonly<Record<string, LayerSample>>;
  /** What the layers are; linear ones by default. */
  readonly kind?: ModuleKind | undefined;
  /** What `plan` gets; by default a summary of the layers with the description of no model. */
  readonly summary?: ModelSummary;
  /** Tiny models with a host, `modelBench` of `@pare/testkit`: for what cannot be seen on lone layers. */
  readonly models?: () => Promise<ModelBench>;
  /** The bench's models to run on; all of `awkwardModels` by default. The first is interrupted and resumed, and the second runs in between; both need at least two blocks. */
  readonly modelNames?: readonly string[];
  /** Options for runs on models, as a recipe would have them; the defaults when absent. Choose cheap ones that fit layers of 64 inputs. */
  readonly modelOptions?: Readonly<Record<string, unknown>>;
  /** Stored names of the tensors beside its targets that a technique with `adjusts` may change. */
  readonly adjusts?: readonly RegExp[];
}

/** A layer as the host would describe it. */
export function layerInfo(name: string, shape: readonly [number, number], step: number, kind: ModuleKind = 'linear'): ModuleInfo {
  return {
    name,
    kind,
    role: 'mlp.up',
    block: 0,
    expert: undefined,
    step,
    shape,
    layout: 'out-in',
    dtype: 'float32',
    bias: false,
    sharedWith: undefined,
    form: 'dense',
  };
}

/** A summary whose modules are the layers. It describes no decoder: techniques that plan by more than modules are given a real one. */
export function layerSummary(modules: readonly ModuleInfo[]): ModelSummary {
  const parameters = modules.reduce((sum, { shape }) => sum + shape[0] * shape[1], 0);
  const tensors = modules.map(({ name, dtype, shape }) => ({ name: `${name}.weight`, dtype, shape }));
  return { name: 'layers', modules, tensors, parameters, bytes: 4 * parameters } as unknown as ModelSummary;
}
