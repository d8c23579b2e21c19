import type { DeviceTensor } from './backend.js';
import type { DType } from './dtype.js';
import type { TextSource, Tokenizer } from './evaluator.js';
import type { FileSystem } from './files.js';
import type { Model, ModuleInfo, ModelSummary } from './model.js';
import type { OptionsSchema } from './options.js';
import type { PluginContext, PluginIdentity } from './plugin.js';
import type { ModelRemoval } from './removal.js';
import type { ServiceDependencies } from './service.js';
import type { HostTensor } from './tensor.js';
import type { InputScheme, QuantizationNumbers, SparsityPattern, WeightForm, WeightFormKind } from './weights.js';

export type TechniqueFamily = 'quantization' | 'pruning' | 'factorization' | 'sharing' | 'distillation' | 'activation';

/**
 * What a technique works on. `tensor`: one weight at a time, no data. `block`: one decoder block at a time with calibration statistics. `training`: the whole
 * model at once, with the windows of the calibration text to learn from. `model`: the whole model at once, of which it takes out neurons, heads, channels, experts or blocks.
 */
export type TechniqueScope = 'tensor' | 'block' | 'training' | 'model';

/**
 * A typed name of a calibration statistic of a module's input, such as its Gram matrix. `@pare/model` publishes the usual ones and
 * `defineStatistic` for others; the host accumulates each one once per module and shares it among the techniques of a stage.
 */
export interface StatisticRef<T> {
  readonly $$type: '@pare/statistic';
  readonly id: string;
  readonly $type?: T;
}

/** A module that a recipe's stage targets, with its options after overrides. */
export interface TargetModule<O> {
  readonly info: ModuleInfo;
  readonly options: O;
  /** What the stage before promises to have made of the module; undefined when none changes it and it is as the source has it. */
  readonly before?: ModulePlan | undefined;
}

/** What a technique promises to do to one module, computed without reading weights. */
export interface ModulePlan {
  readonly module: string;
  readonly produces: WeightFormKind;
  /** Bits stored for the module's weight: codes, scales, zeros, indices. */
  readonly storedBits: number;
  /** Bits that formats write for it, where they have no layout for the form: a sparse matrix with its zeros. Otherwise `storedBits`. */
  readonly writtenBits?: number | undefined;
  /** True when `storedBits` depends on the weights and is an estimate. */
  readonly estimated?: boolean | undefined;
  /** Where a sparse result has its zeros, and how many weights are pruned. */
  readonly sparsity?: { readonly pattern: SparsityPattern; readonly pruned: number } | undefined;
  /** Inner width of a factorized result; undefined where it depends on the weights. */
  readonly rank?: number | undefined;
  /** Bits per code for quantized results, sparse ones with quantized values and factorized ones with quantized factors, else undefined. */
  readonly bits?: number | undefined;
  readonly groupSize?: number | undefined;
  readonly symmetric?: boolean | undefined;
  /** What the codes are; integers when absent. */
  readonly numbers?: QuantizationNumbers | undefined;
  /** True when columns keep a stored group index. */
  readonly groupIndex?: boolean | undefined;
  /** How the module's inputs will be rounded before the product; absent when they stay floating point. */
  readonly input?: InputScheme | undefined;
  /** Floating-point operations of the solver. */
  readonly flops: number;
  /** Peak bytes of working memory while this module is solved, statistics included. */
  readonly workingBytes: number;
  /** Peak bytes of the call's work folder. */
  readonly workFolderBytes?: number | undefined;
}

/** What became of one module. */
export interface ModuleReport {
  /** The technique's objective, lower is better; comparable between modules only where the technique says so. */
  readonly loss?: number | undefined;
  /** Set when the module was handled otherwise than asked, with the reason: `no calibration tokens reached this expert`. */
  readonly fallback?: string | undefined;
  /** Set by the host where the result has another form or size than its plan. */
  readonly became?: Pick<ModulePlan, 'produces' | 'storedBits' | 'writtenBits' | 'rank' | 'input'> | undefined;
  /** Further named numbers: damping used, dead columns, … */
  readonly details?: Readonly<Record<string, number>> | undefined;
}

/** A module in the hands of a technique. */
export interface ModuleHandle<O> extends TargetModule<O> {
  /** Dense float32 weight [out, in] as earlier stages left it. The array is the caller's to change. */
  weight(): Promise<HostTensor & { readonly data: Float32Array }>;
  /** The weight in the form earlier stages left it. */
  form(): Promise<WeightForm>;
  /** A statistic of this module's input that the technique declared. The host owns the value. */
  statistic<T>(ref: StatisticRef<T>): Promise<T>;
  /** Hands in the module's new weight. Once per module and call. */
  replace(form: WeightForm, report?: ModuleReport): Promise<void>;
}

/**
 * A tensor beside the matrices that a call works on: a norm's weight, a bias, the matrix of a module that is no target. Techniques that declare `adjusts` get those of the
 * block. What is handed in is rounded to the tensor's stored type, and from then on is what later steps, blocks, stages, evaluators and formats see.
 */
export interface ParameterHandle {
  /** Stored name: `model.layers.0.input_layernorm.weight`. */
  readonly name: string;
  /** The module whose matrix it is. Earlier stages may have compressed it; only those of form `dense` can be replaced. */
  readonly module: ModuleInfo | undefined;
  /** [out, in] for a module's matrix, whatever its storage layout. */
  readonly shape: readonly number[];
  /** Its stored type. */
  readonly dtype: DType;
  /** Its float32 values as earlier stages, or this call, left them. The array is the caller's to change. */
  value(): Promise<HostTensor & { readonly data: Float32Array }>;
  /**
   * Replaces it by float32 values of the same shape; repeatedly, if need be.
   * @throws PARE_RESULT_INVALID for another shape, numbers that are not finite once rounded, or a matrix that is not dense
   */
  replace(values: HostTensor & { readonly data: Float32Array }): Promise<void>;
}

/** A half of a decoder block: what lies between the norm before it and the residual sum, or the norm, after it. */
export type BlockHalf = 'attention' | 'mlp';

/** Runs halves of the block at work with other weights, on some calibration windows that are kept for it. For searches whose objective is more than one layer's output. */
export interface BlockTrials {
  /** Calibration tokens that the halves run on. */
  readonly tokens: number;
  /**
   * Mean over these tokens and all outputs of (y − ŷ)², where y is what the half makes of its inputs with the weights that the call found, and ŷ what it makes of them with some replaced. Sums
   * are float32 within a token and float64 over tokens. NaN or infinite where values overflow.
   *
   * @param trial float32 values by stored name, [out, in] for matrices; all of the half. Arrays may be detached, tensors of the backend stay the caller's.
   * @throws PARE_TENSOR_UNKNOWN for a tensor that the half does not read
   */
  loss(half: BlockHalf, trial: ReadonlyMap<string, (HostTensor & { readonly data: Float32Array }) | DeviceTensor>): Promise<number>;
}

/**
 * Where a long call may keep unfinished work, so that a run that stopped goes on in the midst of the call. What lies there is of an earlier run with the same recipe, plugin versions, model,
 * calibration text, seed and backend; anything else that results follow from is the technique's to check. It is removed once the call's results are kept.
 */
export interface WorkFolder {
  readonly files: FileSystem;
  /** May not exist yet. */
  readonly path: string;
}

/** The context of one `apply` call: the targeted modules of one tensor batch, of one block (one step of it when sequential), or all of them in training scope. */
export interface TechniqueContext<O, D extends ServiceDependencies = ServiceDependencies> extends PluginContext<D> {
  readonly model: Model;
  /** The model before the first stage: what a technique that learns back what earlier stages cost takes for a teacher. */
  readonly original: Model;
  /** Windows of calibration tokens: to learn from in training scope, for techniques of scope `model` that are `calibrated`; empty for others. */
  readonly windows: readonly Int32Array[];
  /** Prompts and what may follow them, JSON lines, where some were given; training scope. `readPromptPairs` of `@pare/training` makes tokens of them. */
  readonly prompts: TextSource | undefined;
  /** The model's tokenizer. @throws PARE_TOKENIZER_MISSING */
  tokenizer(): Promise<Tokenizer>;
  readonly modules: readonly ModuleHandle<O>[];
  /** Everything else in the block (outside the blocks, for targets there; in the model, in training scope) when the technique `adjusts`; empty when it does not. */
  readonly parameters: readonly ParameterHandle[];
  /** Every target of the stage, those of other calls included: what a ranking over the whole model is made of. The same array at every call of a run. */
  readonly targets: readonly TargetModule<O>[];
  /** Trials of the block at work, for techniques that ask for tokens with `trialTokens`; undefined for others. */
  readonly trials: BlockTrials | undefined;
  /** For unfinished work of this call. */
  readonly work: WorkFolder;
  /** The block these modules belong to, absent where they are not of one. */
  readonly block: { readonly index: number; readonly count: number; readonly name: string } | undefined;
  /**
   * Scope `model`: hands in what is taken out of the model, once and instead of weights. Stages behind it see what remains.
   * @param reports by the names of modules before
   * @throws PARE_STRUCTURE_IMPOSSIBLE when no description can hold what remains; PARE_RESULT_INVALID for other scopes and a second removal
   */
  remove(removal: ModelRemoval, reports?: ReadonlyMap<string, ModuleReport>): Promise<void>;
}

export interface TechniqueDefinition<O, D extends ServiceDependencies = ServiceDependencies> extends PluginIdentity {
  readonly family: TechniqueFamily;
  readonly scope: TechniqueScope;
  /** arXiv identifier or other citation. */
  readonly paper?: string | undefined;
  readonly options: OptionsSchema<O>;
  readonly deps?: D | undefined;
  /** What a stage works on when its recipe names no targets, as `targets.include` has it; the linear layers of blocks by default. */
  readonly targets?: readonly string[] | undefined;
  /** Forms a module may have when this technique gets it. */
  readonly accepts: readonly WeightFormKind[];
  readonly produces: readonly WeightFormKind[];
  /** True to be given `parameters`: the technique changes norms, biases or modules that are no targets, in ways that its targets' results belong to. */
  readonly adjusts?: boolean | undefined;
  /** Statistics wanted for each targeted module. */
  statistics?(options: O): readonly StatisticRef<unknown>[];
  /** Calibration tokens to keep for `trials`, whole windows from all over the text; of the targets of a call the most counts. Block scope only. */
  trialTokens?(options: O): number;
  /**
   * Which inputs a block gets: what the blocks before it make with this stage's results (`compressed`, the default), so that later blocks can make up for earlier ones; or with the weights that the
   * stage found (`original`). Block scope only; a stage runs on original inputs when all its targets' options ask for them.
   */
  inputs?(options: O): 'compressed' | 'original';
  /** True to be called once per step of a block, with statistics taken after the earlier steps were replaced (GPTQ's true-sequential). */
  sequential?(options: O): boolean;
  /** Why these options do not fit this module, with what would; undefined when they do. Called for every target before anything runs. */
  check?(target: TargetModule<O>): string | undefined;
  /**
   * Scope `model`: what will be taken out, from shapes alone. Sizes have to be as right as they can be told; which indices go need not be. The plan of the stages
   * behind and of the formats is made for what remains.
   */
  restructure?(targets: readonly TargetModule<O>[], summary: ModelSummary): ModelRemoval;
  /** Training scope: what it cannot learn without: the calibration text (the default), prompts, or one of the two. It gets all that is given. */
  learnsFrom?(options: O): 'text' | 'prompts' | 'either';
  /** Scope `model`: true to get the calibration windows. */
  calibrated?(options: O): boolean;
  /** What will be done, from shapes alone. One entry per target, under its name before a restructuring. */
  plan(targets: readonly TargetModule<O>[], summary: ModelSummary): readonly ModulePlan[];
  apply(context: TechniqueContext<O, D>): Promise<void>;
}

export interface Technique<O = unknown, D extends ServiceDependencies = ServiceDependencies> extends TechniqueDefinition<O, D> {
  readonly $$type: '@pare/technique';
}

/** Defines a technique. The result is a plain tagged object: list it in `pare.config.ts` or pass it to a host. */
export function defineTechnique<O, D extends ServiceDependencies = Record<never, never>>(definition: TechniqueDefinition<O, D>): Technique<O, D> {
  return { ...definition, $$type: '@pare/technique' };
}

/** The value of the Gram statistic: Σ x xᵀ over the rows x of a module's input. */
export interface GramMatrix {
  /** [in, in] float32 or float64, symmetric, on the backend that ran the calibration; the host owns it. */
  readonly matrix: DeviceTensor;
  /** Rows (tokens) that were added. */
  readonly rows: number;
}
