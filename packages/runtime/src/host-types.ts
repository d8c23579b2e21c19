import type {
  Backend,
  DeviceInfo,
  FormatRefusal,
  HostEvents,
  JsonSchema,
  Logger,
  Model,
  ModuleInfo,
  ModulePlan,
  ModuleReport,
  Plugin,
  PluginEntry,
  PluginKind,
  Recipe,
  ServiceFactory,
  ServiceRef,
  TechniqueFamily,
  TechniqueScope,
  TensorInfo,
  TextSource,
  VerificationResult,
  WrittenFile,
} from '@pare/core';
import type { EvaluationRecord } from '@pare/evaluation';
import type { EventEmitter } from 'eventemitter3';

/** A plugin whose package is known to whoever passes it, such as the ones an application bundles. */
export interface PackagedPlugin {
  readonly plugin: Plugin | readonly Plugin[];
  readonly package: string;
  readonly version: string;
  /** Where the package lies, for the hashes of a plugin lock. */
  readonly folder?: string | undefined;
}

/** An installed package that is looked up from a folder of its own, such as that of a plugin store. */
export interface PluginReference {
  readonly package: string;
  /** Folder whose `node_modules` hold it. */
  readonly from: string;
  /** When something is wrong with it, it is left out with a warning, where any other plugin keeps the host from starting. */
  readonly optional?: boolean | undefined;
}

/** What a host loads: plugins, lists of them, package names (resolved from `cwd`), packaged plugins, references; falsy entries are dropped. */
export type HostPluginEntry = PluginEntry | PackagedPlugin | PluginReference | readonly HostPluginEntry[];

export interface HostOptions {
  readonly plugins: readonly HostPluginEntry[];
  /** Services that plugins may ask for. A second factory for one ref is refused. */
  readonly services?: readonly ServiceFactory[] | undefined;
  /** Silent by default. */
  readonly logger?: Logger | undefined;
  /** Folder that relative paths, and package names of plugins, are resolved from; the process's own by default. */
  readonly cwd?: string | undefined;
  /** Folder that package names of plugins are resolved from when it is another, such as that of a configuration file. */
  readonly pluginFolder?: string | undefined;
  /** Seconds a plugin package may take to load, 30 by default. */
  readonly pluginTimeoutSeconds?: number | undefined;
  /** Seconds between `memory` events while the host works, 1 by default; 0 for none. */
  readonly memoryIntervalSeconds?: number | undefined;
  /** Folder for results of evaluations, journals of unfinished ones, and what plugins keep for other runs. Nothing is kept without; `defaultCacheFolder()` of @pare/evaluation is the command's. */
  readonly cacheDirectory?: string | undefined;
  /** Where models named by hub name are kept and fetched from. */
  readonly hub?: { readonly cacheDirectory?: string | undefined; readonly endpoint?: string | undefined } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A plugin as the host holds it. */
export interface LoadedPlugin {
  readonly id: string;
  readonly kind: PluginKind;
  readonly title: string;
  readonly summary: string;
  readonly api: number;
  readonly package: string | undefined;
  readonly version: string | undefined;
  /** Where its package lies, as far as that is known. */
  readonly folder: string | undefined;
  /** True for plugins that an application brought along: their dependencies are the application's. */
  readonly bundled: boolean;
  /** Where it came from: `plugins[2]`, `plugins[0] (pare-technique-x) export "x"`. */
  readonly source: string;
  readonly plugin: Plugin;
}

/** A plugin by id, with options. */
export interface Selection {
  readonly id: string;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
}

/** Calibration windows: the first `samples` windows of `sequenceLength` tokens of a text. */
export interface CalibrationRequest {
  /** A text file (or JSON lines with a `text` field), or a text in memory. */
  readonly data: string | TextSource;
  /** 128 by default. */
  readonly samples?: number | undefined;
  /** 512 by default. */
  readonly sequenceLength?: number | undefined;
}

export interface PlanRequest {
  /** A model folder, a hub name `owner/name`, or an open model (which stays the caller's). */
  readonly model: string | Model;
  /** A preset id, the path of a YAML or JSON document, or a document. */
  readonly recipe: string | Recipe;
  /** `technique.option=value`, applied to every stage of that technique; `technique[1].option=value` for the second one only; `format.option=value`. */
  readonly set?: readonly string[] | undefined;
  /** Formats to write, `['hf']` by default. */
  readonly formats?: readonly (string | Selection)[] | undefined;
  /** `auto` (default, the highest score), a backend id, or an open backend (which stays the caller's). */
  readonly backend?: string | Selection | Backend | undefined;
  readonly calibration?: CalibrationRequest | undefined;
  /** Prompts to learn from, and what may follow them: a file of JSON lines, or a text in memory. */
  readonly prompts?: string | TextSource | undefined;
  /** 0 by default. */
  readonly seed?: number | undefined;
  /** Hard limit in bytes; refused up front when the plan needs more. */
  readonly memory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CompressionRequest extends PlanRequest {
  /** Folder to write. */
  readonly output: string;
  /** Replace an output folder of ours and discard a journal. A folder that is not ours is never replaced. */
  readonly overwrite?: boolean | undefined;
  /** Continue from the journal of a run that stopped. Without a journal the run starts from the beginning. */
  readonly resume?: boolean | undefined;
  /** Evaluators to run on the source (before) and the result (after); none by default. The source is the result's original; those that need one run after only. */
  readonly evaluate?: Pick<EvaluationRequest, 'evaluators' | 'commonOptions' | 'set' | 'data' | 'items'> | undefined;
}

/** A recipe to apply before evaluating. */
export type RecipeRequest = Pick<PlanRequest, 'recipe' | 'set' | 'calibration' | 'prompts' | 'memory'>;

export interface EvaluationRequest {
  /** A model folder, a hub name, a file that a format plugin opens (`onnx/model_q4.onnx`), or an open model (which stays the caller's). */
  readonly model: string | Model;
  /** Evaluates a folder's exported file and not its weights: by format (`onnx`), or by name (`q4`). */
  readonly artifact?: string | undefined;
  /** Evaluates what a recipe makes of the model, without writing it anywhere. The model itself is the original then, unless another is given. */
  readonly recipe?: RecipeRequest | undefined;
  readonly evaluators: readonly (string | Selection)[];
  /** Options given to every evaluator that has options of these names, below an evaluator's own. */
  readonly commonOptions?: Readonly<Record<string, unknown>> | undefined;
  /** `evaluator.option=value`. */
  readonly set?: readonly string[] | undefined;
  /** Text that evaluators with `data: 'text'` read. */
  readonly data?: string | TextSource | undefined;
  /** Items, a file of JSON lines, that evaluators with `data: 'items'` read. */
  readonly items?: string | TextSource | undefined;
  /** The model before compression, for evaluators that compare with it: a folder, a hub name, or an open model (which stays the caller's). */
  readonly original?: string | Model | undefined;
  /** Take results from the host's cache where they were computed before, and add to it: true by default for a host with a `cacheDirectory`. */
  readonly cache?: boolean | undefined;
  /** Go on where an earlier evaluation of the same was interrupted; needs a `cacheDirectory`. */
  readonly resume?: boolean | undefined;
  readonly backend?: string | Selection | Backend | undefined;
  readonly seed?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type { EvaluationRecord } from '@pare/evaluation';

export interface EvaluationReport {
  /** The model as it was named. */
  readonly model: string;
  /** The exported file that was evaluated. */
  readonly artifact: string | undefined;
  /** The recipe that was applied, with every option written out. */
  readonly recipe: Recipe | undefined;
  readonly backend: string;
  /** All metrics by plain name. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly evaluations: readonly EvaluationRecord[];
}

/** A module of a planned stage, with its options after overrides. */
export interface PlannedModule extends ModulePlan {
  readonly info: ModuleInfo;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface PlannedStage {
  readonly index: number;
  readonly technique: string;
  readonly family: TechniqueFamily;
  readonly scope: TechniqueScope;
  readonly modules: readonly PlannedModule[];
  /** Ids of the statistics that are collected. */
  readonly statistics: readonly string[];
  /** Stored bits of the stage's results, everything counted. */
  readonly storedBits: number;
  /** Floating-point operations of the solver. */
  readonly solverFlops: number;
  /** Floating-point operations of the forward passes and statistics. */
  readonly calibrationFlops: number;
  /** Largest working set of one module's solver. */
  readonly workingBytes: number;
  /** Estimated peak resident memory of the process during the stage. */
  readonly peakBytes: number;
  /** Estimated duration at the rate in `CompressionPlan.rate`. */
  readonly seconds: number;
}

export interface PlannedFormat {
  readonly id: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** What is worth knowing about what it will write: sizes and speeds that are not what one might expect. */
  readonly notes: readonly string[];
}

export interface CompressionPlan {
  readonly model: { readonly name: string; readonly directory: string; readonly parameters: number; readonly bytes: number; readonly blocks: number };
  /** The recipe after presets and `set`, every option written out. */
  readonly recipe: Recipe;
  /** `fallbacks` says which operators of the model's blocks run on the host. */
  readonly backend: { readonly id: string; readonly device: DeviceInfo | undefined; readonly fallbacks: readonly string[] };
  readonly formats: readonly PlannedFormat[];
  readonly calibration: { readonly data: string; readonly samples: number; readonly sequenceLength: number } | undefined;
  /** Data that a run of this request would refuse to start without. */
  readonly missing: readonly { readonly code: string; readonly message: string; readonly help: string }[];
  readonly stages: readonly PlannedStage[];
  /** Weights of the result: compressed modules by their plans, the rest as stored in the source. */
  readonly outputBytes: number;
  /** Stored bits of all weights divided by parameters. */
  readonly bitsPerWeight: number;
  /** What remains where stages take something out of the model; multiply-accumulates of a pass over so many tokens. */
  readonly remaining: { readonly parameters: number; readonly blocks: number; readonly macs: { readonly sequenceLength: number; readonly before: number; readonly after: number } } | undefined;
  /** Bytes of disk that output, temporary files and journal need at most. */
  readonly diskBytes: number;
  /** Hidden states of the calibration windows between blocks; spilled to disk when they are large or the memory limit is near. */
  readonly hiddenStates: { readonly bytes: number; readonly spilled: boolean };
  readonly peakMemoryBytes: number;
  /** Smallest `memory` that would be accepted. */
  readonly smallestMemoryBytes: number;
  readonly seconds: number;
  /** Floating-point operations per second that times are estimated with. */
  readonly rate: { readonly forward: number; readonly solver: number };
}

/** All formats' refusals of a plan, as the error PARE_FORMAT_REFUSED carries them. */
export interface RefusedFormat {
  readonly format: string;
  readonly refusals: readonly FormatRefusal[];
}

export interface StageResult {
  readonly technique: string;
  readonly modules: number;
  readonly seconds: number;
  /** Sum of the modules' losses that were reported. */
  readonly loss: number | undefined;
  readonly fallbacks: readonly { readonly module: string; readonly reason: string }[];
  readonly reports: readonly ModuleResult[];
}

export interface ModuleResult extends ModuleReport {
  readonly module: string;
}

export interface FormatResult {
  readonly id: string;
  readonly files: readonly WrittenFile[];
  readonly verification: VerificationResult;
  readonly notes?: readonly string[] | undefined;
}

export interface CompressionResult {
  /** Absolute path of the output folder. */
  readonly output: string;
  /** Wall time, evaluations included. */
  readonly seconds: number;
  /** Of `seconds`, what evaluations before and after took. */
  readonly evaluationSeconds: number;
  /** Largest resident memory of this process so far; undefined where the system does not tell. */
  readonly peakMemoryBytes: number | undefined;
  readonly backend: string;
  readonly stages: readonly StageResult[];
  readonly formats: readonly FormatResult[];
  /** Blocks taken from the journal instead of being computed. */
  readonly restoredBlocks: number;
  /** After compression; empty when no evaluators were asked for. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly metricsBefore: Readonly<Record<string, number>>;
  readonly manifest: Manifest;
}

/** `pare.json` in an output folder. Holds nothing that differs from run to run. */
export interface Manifest {
  readonly pare: 1;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly source: { readonly name: string; readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[] };
  readonly calibration:
    | { readonly data: string; readonly sha256: string; readonly samples: number; readonly sequenceLength: number }
    | undefined;
  readonly prompts?: { readonly data: string; readonly sha256: string } | undefined;
  readonly backend: string;
  readonly plugins: readonly { readonly id: string; readonly kind: PluginKind; readonly package: string | undefined; readonly version: string | undefined }[];
  readonly stages: readonly {
    readonly technique: string;
    readonly modules: readonly ManifestModule[];
  }[];
  readonly formats: readonly FormatResult[];
  readonly metrics: { readonly before: Readonly<Record<string, number>>; readonly after: Readonly<Record<string, number>> };
}

/** What a stage did to a module. */
export interface ManifestModule {
  readonly module: string;
  readonly bits?: number | undefined;
  /** Where a sparse result has its zeros (`unstructured`, `2:4`), and the share of weights that the plan prunes. */
  readonly pattern?: string | undefined;
  readonly sparsity?: number | undefined;
  /** Inner width of a factorized result. */
  readonly rank?: number | undefined;
  readonly loss?: number | undefined;
  readonly fallback?: string | undefined;
}

export interface BackendListing {
  readonly id: string;
  readonly title: string;
  readonly score: number;
  readonly reason: string;
  readonly device: DeviceInfo | undefined;
  readonly package: string | undefined;
  readonly version: string | undefined;
  /** True for the one that `auto` takes. */
  readonly chosen: boolean;
}

export interface Inspection {
  readonly name: string;
  readonly directory: string;
  readonly architecture: string;
  readonly modelType: string;
  readonly parameters: number;
  readonly bytes: number;
  readonly bitsPerWeight: number;
  readonly blocks: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  readonly tiedHead: boolean;
  readonly modules: readonly ModuleInfo[];
  readonly tensors: readonly TensorInfo[];
  readonly companionFiles: readonly string[];
  /** The manifest when the folder was written by Pare. */
  readonly manifest: Manifest | undefined;
}

/** Argument lists of the host's events, as eventemitter3 types them. */
export type HostEventArguments = { readonly [K in keyof HostEvents]: [event: HostEvents[K]] };

/** A host: plugins and services of one application, and what can be done with them. */
export interface Host extends AsyncDisposable {
  readonly events: EventEmitter<HostEventArguments>;
  readonly plugins: readonly LoadedPlugin[];
  /** The plugin of this kind and id. @throws PARE_PLUGIN_UNKNOWN with the nearest id */
  plugin<K extends PluginKind>(kind: K, id: string): LoadedPlugin & { readonly plugin: PluginOfKind<K> };
  service<T>(ref: ServiceRef<T>): Promise<T>;
  /** Boot phases, plugins and services with their times, as an indented tree. */
  explain(): string;
  /** Every backend with its score, best first. A backend whose probe fails scores 0 with the failure as reason. */
  backends(): Promise<readonly BackendListing[]>;
  /** Opens a backend by id, or the best for `auto`; the caller disposes it. Requests take it in the place of an id. @throws PARE_BACKEND_UNAVAILABLE */
  openBackend(selection?: string | Selection): Promise<Backend>;
  /** Opens a model folder or hub name; the caller disposes it. */
  openModel(model: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Model>;
  inspect(model: string | Model, options?: { readonly signal?: AbortSignal | undefined }): Promise<Inspection>;
  /** Checks a request and computes what it will do, without reading weights. Everything that can be refused is refused here. */
  plan(request: PlanRequest): Promise<CompressionPlan>;
  /** Runs a recipe and writes the output folder. */
  compress(request: CompressionRequest): Promise<CompressionResult>;
  evaluate(request: EvaluationRequest): Promise<EvaluationReport>;
  /** Reads and validates a recipe: preset id, file or document, with `set` applied. Options are checked, targets are not (that needs a model). */
  resolveRecipe(recipe: string | Recipe, set?: readonly string[]): Promise<Recipe>;
  /** JSON Schema of recipe documents for the loaded techniques. */
  recipeJsonSchema(): JsonSchema;
  /** Disposes services in reverse order of creation; also `await using`. */
  close(): Promise<void>;
}

/** The plugin type of a kind. */
export type PluginOfKind<K extends PluginKind> = Extract<Plugin, { readonly $$type: `@pare/${K}` }>;
