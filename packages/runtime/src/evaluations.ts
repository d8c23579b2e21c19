import { nearest, optionsJsonSchema, pareError, type Backend, type Evaluator, type EvaluatorAccess, type TextSource, type Tokenizer } from '@pare/core';
import { lazyPredictor, noCheckpoint, sha256, type EvaluationCache, type OpenSubject, type Subject } from '@pare/evaluation';
import { access, constants, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pluginFailure } from './cancellation.js';
import type { EvaluationRecord, EvaluationRequest } from './host-types.js';
import type { ModelLibrary } from './model-library.js';
import { applySetting, parseOptions, parseSetting } from './options.js';
import { createPluginContext, deriveSeed, type HostCore } from './plugin-context.js';

/** Evaluators with their options settled and their data at hand. */
export interface PreparedEvaluation {
  readonly evaluators: readonly { readonly plugin: Evaluator; readonly options: Readonly<Record<string, unknown>> }[];
  readonly data: TextSource | undefined;
  readonly items: TextSource | undefined;
}

export interface EvaluationCatalogue {
  readonly evaluators: ReadonlyMap<string, Evaluator>;
  readonly cwd: string;
  readonly library: ModelLibrary;
}

/**
 * Looks up evaluators and checks their options and data.
 * @throws PARE_PLUGIN_UNKNOWN, PARE_OPTIONS_INVALID, PARE_RECIPE_SET_INVALID, PARE_DATA_MISSING, PARE_ORIGINAL_MISSING, PARE_FILE_UNREADABLE
 */
export async function prepareEvaluation(request: Omit<EvaluationRequest, 'model' | 'recipe'>, catalogue: EvaluationCatalogue): Promise<PreparedEvaluation> {
  const known = [...catalogue.evaluators.keys()];
  const settings = (request.set ?? []).map(parseSetting);
  const evaluators: { plugin: Evaluator; options: Readonly<Record<string, unknown>> }[] = [];
  for (const entry of request.evaluators) {
    const selection = typeof entry === 'string' ? { id: entry } : entry;
    const plugin = catalogue.evaluators.get(selection.id);
    if (plugin === undefined) throw pareError('PARE_PLUGIN_UNKNOWN', { kind: 'evaluator', id: selection.id, known, nearest: nearest(selection.id, known) });
    if (evaluators.some((evaluator) => evaluator.plugin === plugin)) continue;
    let options: Readonly<Record<string, unknown>> = { ...commonOptions(plugin, request.commonOptions), ...selection.options };
    for (const setting of settings) if (setting.owner === plugin.id) options = applySetting(setting, plugin.options, options);
    evaluators.push({ plugin, options: await parseOptions(`evaluator "${plugin.id}"`, plugin.options, options) });
  }
  const chosen = evaluators.map(({ plugin }) => plugin.id);
  const stray = settings.find((setting) => !chosen.includes(setting.owner));
  if (stray !== undefined) {
    throw pareError('PARE_RECIPE_SET_INVALID', {
      setting: stray.text,
      problem: `no evaluator "${stray.owner}" was asked for`,
      nearest: nearest(stray.owner, chosen),
      allowed: `Asked for: ${chosen.join(', ')}.`,
    });
  }
  const { data, items, original } = request;
  for (const { plugin } of evaluators) {
    const missing = (plugin.data === 'text' && data === undefined) || (plugin.data === 'items' && items === undefined);
    if (missing) throw pareError('PARE_DATA_MISSING', { evaluator: plugin.id, reads: plugin.data === 'items' ? 'items' : 'text' });
    if (plugin.original === 'required' && original === undefined) throw pareError('PARE_ORIGINAL_MISSING', { evaluator: plugin.id });
  }
  return {
    evaluators,
    data: data === undefined ? undefined : await openText(data, catalogue),
    items: items === undefined ? undefined : await openItems(items, catalogue),
  };
}

/** A text by file path, checked to be readable, or a text as given. */
export async function openText(data: string | TextSource, context: { readonly cwd: string; readonly library: ModelLibrary }): Promise<TextSource> {
  return typeof data === 'string' ? context.library.fileText(await readable(data, context.cwd)) : data;
}

/** A file of items as it stands: to the evaluator every line is an item, where a text would be joined from them. */
async function openItems(items: string | TextSource, { cwd }: { readonly cwd: string }): Promise<TextSource> {
  if (typeof items !== 'string') return items;
  const file = await readable(items, cwd);
  return { name: file, text: () => readFile(file, 'utf8') };
}

/** The path of a file, checked to be readable. @throws PARE_FILE_UNREADABLE */
async function readable(path: string, cwd: string): Promise<string> {
  const file = resolve(cwd, path);
  await access(file, constants.R_OK).catch((error: NodeJS.ErrnoException) => {
    throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: error.code === 'ENOENT' ? 'no such file' : error.message }, error);
  });
  return file;
}

/** Of options meant for every evaluator, those this one has. */
function commonOptions(plugin: Evaluator, options: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> {
  const properties = (optionsJsonSchema(plugin.options)['properties'] ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.entries(options ?? {}).filter(([name]) => name in properties));
}

/** The results of earlier evaluations, and what may be done with them. */
export interface EvaluationStore {
  readonly cache: EvaluationCache;
  /** Take results from it and add to it. */
  readonly results: boolean;
  /** Go on where an earlier evaluation of the same was interrupted. */
  readonly resume: boolean;
  /** Package and version of a plugin; undefined for one whose code nobody can name, which nothing is kept of. */
  readonly versionOf: (evaluator: string) => string | undefined;
  /** What computes, with version and options. */
  readonly computedBy: string;
}

export interface EvaluationRun {
  readonly core: HostCore;
  readonly library: ModelLibrary;
  readonly subject: Subject;
  /** The model before compression. Evaluators that require one are left out without. */
  readonly original: Subject | undefined;
  /** The model as events and reports name it. */
  readonly name: string;
  readonly backend: () => Promise<Backend>;
  readonly seed: number;
  readonly store?: EvaluationStore | undefined;
  readonly signal: AbortSignal;
}

function accessOf({ plugin, options }: PreparedEvaluation['evaluators'][number]): EvaluatorAccess {
  return plugin.readsWith?.(options) ?? plugin.reads ?? 'weights';
}

/** Runs evaluators on a model one after another. @throws PARE_WEIGHTS_INACCESSIBLE before any runs */
export async function runEvaluation({ evaluators, ...sources }: PreparedEvaluation, run: EvaluationRun): Promise<EvaluationRecord[]> {
  const { core, library, subject, original, name, signal } = run;
  const { artifact } = subject;
  for (const evaluator of evaluators) {
    const file = artifact?.file ?? original?.artifact?.file;
    const touches = artifact !== undefined || (original?.artifact !== undefined && evaluator.plugin.original !== undefined);
    if (file !== undefined && touches && accessOf(evaluator) === 'weights') throw pareError('PARE_WEIGHTS_INACCESSIBLE', { file, wanted: `evaluator "${evaluator.plugin.id}"` });
  }
  const records: EvaluationRecord[] = [];
  let tokenizer: Promise<Tokenizer> | undefined;
  for (const evaluator of evaluators) {
    const { plugin, options } = evaluator;
    if (plugin.original === 'required' && original === undefined) continue;
    core.emit('evaluation:start', { evaluator: plugin.id, model: name });
    const label = `evaluator "${plugin.id}"`;
    const data = plugin.data === 'none' ? undefined : plugin.data === 'items' ? sources.items : sources.data;
    const compared = plugin.original === undefined ? undefined : original;
    const seed = deriveSeed(run.seed, ...[...plugin.id].map((letter) => letter.codePointAt(0)!));
    let journal: Awaited<ReturnType<EvaluationCache['journal']>> | undefined;
    try {
      signal.throwIfAborted();
      const key = await cacheKey(run, evaluator, { data, compared, seed });
      const cached = key === undefined || run.store?.results !== true ? undefined : await run.store.cache.read(key);
      if (cached !== undefined) {
        checkMetrics(plugin, cached.metrics);
        records.push({ evaluator: plugin.id, options, ...cached, cached: true });
        core.emit('evaluation:done', { evaluator: plugin.id, model: name, metrics: cached.metrics, cached: true });
        continue;
      }
      // What a summary tells must not wait for a recipe, nor for a file to be loaded.
      const ready = async (side: Subject): Promise<OpenSubject> => (accessOf(evaluator) === 'summary' ? { model: side.model, predictor: lazyPredictor(side) } : side.open());
      const { model, predictor } = await ready(subject);
      const before = compared && (await ready(compared));
      const context = await createPluginContext(core, { plugin: plugin.id, task: plugin.id, deps: plugin.deps, signal, seed, backend: await run.backend() });
      if (key !== undefined) journal = await run.store?.cache.journal(key, run.store.resume);
      const started = performance.now();
      const { metrics, details } = await plugin.evaluate({
        ...context,
        model,
        predictor,
        artifact,
        options,
        data,
        original: before?.model,
        originalPredictor: before?.predictor,
        checkpoint: journal ?? noCheckpoint,
        tokenizer: () => (tokenizer ??= library.openTokenizer(model.directory)),
      });
      checkMetrics(plugin, metrics);
      const result = { metrics, details, seconds: (performance.now() - started) / 1000 };
      records.push({ evaluator: plugin.id, options, ...result, cached: false, restoredPieces: journal?.restored ?? 0 });
      if (key !== undefined && run.store?.results === true) await run.store.cache.write(key, result);
      await journal?.remove();
      core.emit('evaluation:done', { evaluator: plugin.id, model: name, metrics, cached: false });
    } catch (error) {
      throw pluginFailure(error, signal, `evaluating ${name}`, { plugin: label });
    } finally {
      await journal?.close();
    }
  }
  return records;
}

/** The key of a result; undefined when it is not to be kept: measurements of this machine, what a summary gives at once, plugins or models whose content is not known. */
async function cacheKey(
  { store, subject }: EvaluationRun,
  evaluator: PreparedEvaluation['evaluators'][number],
  inputs: { readonly data: TextSource | undefined; readonly compared: Subject | undefined; readonly seed: number },
): Promise<string | undefined> {
  const { plugin, options } = evaluator;
  const version = store?.versionOf(plugin.id);
  if (store === undefined || version === undefined || plugin.measures === 'machine' || accessOf(evaluator) === 'summary') return undefined;
  const model = await subject.hash();
  const original = await inputs.compared?.hash();
  if (model === undefined || (inputs.compared !== undefined && original === undefined)) return undefined;
  const data = inputs.data === undefined ? undefined : sha256(await inputs.data.text());
  return store.cache.key({ evaluator: { id: plugin.id, version, options }, model, original, data, computedBy: store.computedBy, seed: inputs.seed });
}

function checkMetrics(plugin: Evaluator, metrics: Readonly<Record<string, number>>): void {
  const declared = plugin.metrics.map((metric) => metric.name);
  const stray = Object.keys(metrics).find((metric) => !declared.includes(metric));
  if (stray !== undefined) {
    throw pareError('PARE_PLUGIN_FAILED', { plugin: `evaluator "${plugin.id}"`, activity: 'reporting', reason: `metric "${stray}" is not among the declared ${declared.join(', ')}` });
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
