import type { Model } from './model.js';
import type { OptionsSchema } from './options.js';
import type { PluginContext, PluginIdentity } from './plugin.js';
import type { Predictor } from './predictor.js';
import type { ServiceDependencies } from './service.js';

/** Text to and from token ids. */
export interface Tokenizer {
  readonly vocabularySize: number;
  readonly bosToken: number | undefined;
  readonly eosToken: number | undefined;
  /** Token ids of a text of any length. Without special tokens unless asked. */
  encode(text: string, options?: { readonly specialTokens?: boolean }): Int32Array;
  decode(ids: readonly number[] | Int32Array, options?: { readonly skipSpecialTokens?: boolean }): string;
}

/** A text that an evaluator or a calibration reads. */
export interface TextSource {
  /** File path, or a name for texts from memory. */
  readonly name: string;
  text(): Promise<string>;
}

export interface MetricDeclaration {
  /** Plain name: `perplexity`. */
  readonly name: string;
  readonly unit: string;
  readonly direction: 'lower' | 'higher' | 'neutral';
  readonly summary: string;
}

/** Finished pieces of an evaluation, kept on disk so that one that was interrupted can go on. */
export interface Checkpoint {
  /**
   * The piece of this name as an earlier run kept it, or else what `work` gives, which is kept. A piece is JSON (numbers of all kinds come back exactly) and must not depend on
   * which others were computed in this run: then the result of a continued evaluation is the same to the bit.
   */
  piece<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** A file that an evaluation is about, in the place of a folder's weights. */
export interface EvaluatedArtifact {
  /** Id of the format plugin that opened it. */
  readonly format: string;
  readonly file: string;
}

export interface EvaluationContext<O, D extends ServiceDependencies = ServiceDependencies> extends PluginContext<D> {
  /** Of an artefact only the summary: its weights cannot be read by module (PARE_WEIGHTS_INACCESSIBLE). */
  readonly model: Model;
  /** What the model predicts. Artefacts run in the runtime that they are for. */
  readonly predictor: Predictor;
  /** Set when a file is evaluated and not a folder's weights. */
  readonly artifact: EvaluatedArtifact | undefined;
  readonly options: O;
  /** The text, or the file of items (JSON lines), by what the evaluator reads. */
  readonly data: TextSource | undefined;
  /** The model before compression, for evaluators that compare. Its vocabulary and depth may differ from the model's: check what you rely on. */
  readonly original: Model | undefined;
  readonly originalPredictor: Predictor | undefined;
  readonly checkpoint: Checkpoint;
  /** @throws PARE_TOKENIZER_MISSING */
  tokenizer(): Promise<Tokenizer>;
}

export interface EvaluationResult {
  /** By declared metric name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Anything more a report may show, JSON-serialisable. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** What an evaluator reads of a model: its summary (description, shapes, sizes), what it predicts, or its weights by module. */
export type EvaluatorAccess = 'summary' | 'predictions' | 'weights';

export interface EvaluatorDefinition<O, D extends ServiceDependencies = ServiceDependencies> extends PluginIdentity {
  readonly options: OptionsSchema<O>;
  readonly deps?: D | undefined;
  /** What it reads: a text, items (questions as JSON lines), or nothing but the model. */
  readonly data: 'text' | 'items' | 'none';
  /** Whether it compares with the model before compression. One that does not say gets none; one that requires it never runs without. */
  readonly original?: 'required' | 'optional' | undefined;
  /**
   * What it reads; `weights` when absent. Artefacts have no weights to read, so evaluators that need them refuse them. A result that a
   * summary gives is computed at once and never taken from an earlier run.
   */
  readonly reads?: EvaluatorAccess | undefined;
  /** For evaluators whose options decide what they read; goes before `reads`. A method, so that evaluators of all options fit in one list. */
  readsWith?(options: O): EvaluatorAccess;
  /** `machine`: the result tells about this machine at this time, as latency does, and is never taken from an earlier run. `model` when absent. */
  readonly measures?: 'model' | 'machine' | undefined;
  readonly metrics: readonly MetricDeclaration[];
  evaluate(context: EvaluationContext<O, D>): Promise<EvaluationResult>;
}

export interface Evaluator<O = unknown, D extends ServiceDependencies = ServiceDependencies> extends EvaluatorDefinition<O, D> {
  readonly $$type: '@pare/evaluator';
}

/** Defines an evaluator. */
export function defineEvaluator<O, D extends ServiceDependencies = Record<never, never>>(definition: EvaluatorDefinition<O, D>): Evaluator<O, D> {
  return { ...definition, $$type: '@pare/evaluator' };
}
