import type { Model } from './model.js';
import type { OptionsSchema } from './options.js';
import type { PluginContext, PluginIdentity } from './plugin.js';
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

export interface EvaluationContext<O, D extends ServiceDependencies = ServiceDependencies> extends PluginContext<D> {
  readonly model: Model;
  readonly options: O;
  /** The text, or the file of items (JSON lines), by what the evaluator reads. */
  readonly data: TextSource | undefined;
  /** The model before compression, for evaluators that compare. Its vocabulary and depth may differ from the model's: check what you rely on. */
  readonly original: Model | undefined;
  /** @throws PARE_TOKENIZER_MISSING */
  tokenizer(): Promise<Tokenizer>;
}

export interface EvaluationResult {
  /** By declared metric name. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Anything more a report may show, JSON-serialisable. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export interface EvaluatorDefinition<O, D extends ServiceDependencies = ServiceDependencies> extends PluginIdentity {
  readonly options: OptionsSchema<O>;
  readonly deps?: D | undefined;
  /** What it reads: a text, items (questions as JSON lines), or nothing but the model. */
  readonly data: 'text' | 'items' | 'none';
  /** Whether it compares with the model before compression. One that does not say gets none; one that requires it never runs without. */
  readonly original?: 'required' | 'optional' | undefined;
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
