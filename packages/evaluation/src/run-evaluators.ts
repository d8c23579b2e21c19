import { pareError, type Evaluator, type EvaluatorAccess, type Model, type PluginContext, type TextSource, type Tokenizer } from '@pare/core';
import { sha256 } from '@pare/platform';
import { noCheckpoint, type EvaluationCache } from './evaluation-cache.js';
import { lazyPredictor, type OpenSubject, type Subject } from './subject.js';

/** An evaluator with its options settled. */
export interface PreparedEvaluator {
  readonly plugin: Evaluator;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What an evaluator found. */
export interface EvaluationRecord {
  readonly evaluator: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  /** What measuring took, in this run or in the one that a cached result is from. */
  readonly seconds: number;
  /** True for a result that was not measured now but taken from the cache. */
  readonly cached: boolean;
  /** Pieces of the work that were taken from an interrupted evaluation. */
  readonly restoredPieces?: number | undefined;
}

/** The results of earlier evaluations, and what may be done with them. */
export interface EvaluationStore {
  readonly cache: EvaluationCache;
  /** Take results from it and add to it. */
  readonly results: boolean;
  /** Go on where an earlier evaluation of the same was interrupted. */
  readonly resume: boolean;
  /** The code that an evaluator's result follows from: its own, and that of what it runs on. Undefined where nobody can name it; nothing is kept then. */
  readonly codeOf: (evaluator: string) => Promise<string | undefined>;
  /** What computes, with its options. */
  readonly computedBy: string;
}

export interface EvaluatorsRun {
  readonly evaluators: readonly PreparedEvaluator[];
  readonly subject: Subject;
  /** The model before compression. Evaluators that require one are left out without. */
  readonly original: Subject | undefined;
  readonly data: TextSource | undefined;
  readonly items: TextSource | undefined;
  readonly store?: EvaluationStore | undefined;
  readonly signal: AbortSignal;
  seedOf(evaluator: string): number;
  context(plugin: Evaluator, seed: number): Promise<PluginContext>;
  openTokenizer(model: Model): Promise<Tokenizer>;
  /** What an evaluator's error becomes. */
  failure(error: unknown, evaluator: string): unknown;
  onStart(evaluator: string): void;
  onDone(record: EvaluationRecord): void;
}

function accessOf({ plugin, options }: PreparedEvaluator): EvaluatorAccess {
  return plugin.readsWith?.(options) ?? plugin.reads ?? 'weights';
}

/**
 * Runs evaluators on a subject one after another, with results of earlier runs where they are known.
 * @throws PARE_WEIGHTS_INACCESSIBLE before any runs, and what an evaluator throws
 */
export async function runEvaluators(run: EvaluatorsRun): Promise<EvaluationRecord[]> {
  checkAccess(run);
  const records: EvaluationRecord[] = [];
  let tokenizer: Promise<Tokenizer> | undefined;
  const openTokenizer = (): Promise<Tokenizer> => (tokenizer ??= run.openTokenizer(run.subject.model));
  for (const evaluator of run.evaluators) {
    const { id, original } = evaluator.plugin;
    if (original === 'required' && run.original === undefined) continue;
    run.onStart(id);
    try {
      run.signal.throwIfAborted();
      const record = await runOne(run, evaluator, openTokenizer);
      records.push(record);
      run.onDone(record);
    } catch (error) {
      throw run.failure(error, id);
    }
  }
  return records;
}

function checkAccess({ evaluators, subject, original }: EvaluatorsRun): void {
  for (const evaluator of evaluators) {
    const { plugin } = evaluator;
    if (accessOf(evaluator) !== 'weights') continue;
    const artifact = subject.artifact ?? (plugin.original === undefined ? undefined : original?.artifact);
    if (artifact !== undefined) throw pareError('PARE_WEIGHTS_INACCESSIBLE', { file: artifact.file, wanted: `evaluator "${plugin.id}"` });
  }
}

async function runOne(run: EvaluatorsRun, evaluator: PreparedEvaluator, tokenizer: () => Promise<Tokenizer>): Promise<EvaluationRecord> {
  const { store, subject } = run;
  const { plugin, options } = evaluator;
  const data = plugin.data === 'none' ? undefined : plugin.data === 'items' ? run.items : run.data;
  const original = plugin.original === undefined ? undefined : run.original;
  const seed = run.seedOf(plugin.id);
  const key = await keyOf(run, evaluator, { data, original, seed });
  const cached = key === undefined || store?.results !== true ? undefined : await store.cache.read(key);
  if (cached !== undefined) {
    checkMetrics(plugin, cached.metrics);
    return { evaluator: plugin.id, options, ...cached, cached: true };
  }
  // What a summary tells must not wait for a recipe, nor for a file to be loaded.
  const ready = async (side: Subject): Promise<OpenSubject> => (accessOf(evaluator) === 'summary' ? { model: side.model, predictor: lazyPredictor(side) } : side.open());
  const { model, predictor } = await ready(subject);
  const before = original && (await ready(original));
  const context = await run.context(plugin, seed);
  const journal = key === undefined ? undefined : await store?.cache.journal(key, store.resume);
  const started = performance.now();
  const { metrics, details } = await plugin.evaluate({
    ...context,
    model,
    predictor,
    artifact: subject.artifact,
    options,
    data,
    original: before?.model,
    originalPredictor: before?.predictor,
    checkpoint: journal ?? noCheckpoint,
    tokenizer,
  });
  checkMetrics(plugin, metrics);
  const result = { metrics, details, seconds: (performance.now() - started) / 1000 };
  if (key !== undefined && store?.results === true) await store.cache.write(key, result);
  await journal?.remove();
  return { evaluator: plugin.id, options, ...result, cached: false, restoredPieces: journal?.restored ?? 0 };
}

/** The key of a result; undefined when it is not to be kept: measurements of this machine, what a summary gives at once, plugins or models whose content is not known. */
async function keyOf(
  { store, subject }: EvaluatorsRun,
  evaluator: PreparedEvaluator,
  inputs: { readonly data: TextSource | undefined; readonly original: Subject | undefined; readonly seed: number },
): Promise<string | undefined> {
  const { plugin, options } = evaluator;
  if (store === undefined || plugin.measures === 'machine' || accessOf(evaluator) === 'summary') return undefined;
  const code = await store.codeOf(plugin.id);
  if (code === undefined) return undefined;
  const model = await subject.hash();
  const original = await inputs.original?.hash();
  if (model === undefined || (inputs.original !== undefined && original === undefined)) return undefined;
  const data = inputs.data === undefined ? undefined : sha256(await inputs.data.text());
  return store.cache.key({ evaluator: { id: plugin.id, code, options }, model, original, data, computedBy: store.computedBy, seed: inputs.seed });
}

function checkMetrics({ id, metrics: declarations }: Evaluator, metrics: Readonly<Record<string, number>>): void {
  const declared = declarations.map(({ name }) => name);
  const stray = Object.keys(metrics).find((metric) => !declared.includes(metric));
  if (stray !== undefined) {
    throw pareError('PARE_PLUGIN_FAILED', { plugin: `evaluator "${id}"`, activity: 'reporting', reason: `metric "${stray}" is not among the declared ${declared.join(', ')}` });
  }
}

/** All metrics by plain name. Of two evaluators with a metric of one name the later one's carries its evaluator: `other.perplexity`. */
export function mergeMetrics(records: readonly EvaluationRecord[]): Readonly<Record<string, number>> {
  const merged: Record<string, number> = {};
  for (const { evaluator, metrics } of records) {
    for (const [name, value] of Object.entries(metrics)) merged[name in merged ? `${evaluator}.${name}` : name] = value;
  }
  return merged;
}
