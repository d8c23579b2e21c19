import { nearest, optionsJsonSchema, pareError, systemErrorCode, type Backend, type Evaluator, type FileSystem, type Model, type TextSource, type Tokenizer } from '@pare/core';
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
  readonly files: FileSystem;
  readonly cwd: string;
  readonly library: ModelLibrary;
}

/**
 * Looks up evaluators and checks their options and data.
 * @throws PARE_PLUGIN_UNKNOWN, PARE_OPTIONS_INVALID, PARE_RECIPE_SET_INVALID, PARE_DATA_MISSING, PARE_ORIGINAL_MISSING, PARE_FILE_UNREADABLE
 */
export async function prepareEvaluation(request: Omit<EvaluationRequest, 'model'>, catalogue: EvaluationCatalogue): Promise<PreparedEvaluation> {
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
export async function openText(data: string | TextSource, context: Pick<EvaluationCatalogue, 'files' | 'cwd' | 'library'>): Promise<TextSource> {
  return typeof data === 'string' ? context.library.fileText(await readable(data, context), context.files) : data;
}

/** A file of items as it stands: to the evaluator every line is an item, where a text would be joined from them. */
async function openItems(items: string | TextSource, context: Pick<EvaluationCatalogue, 'files' | 'cwd'>): Promise<TextSource> {
  if (typeof items !== 'string') return items;
  const file = await readable(items, context);
  return { name: file, text: () => context.files.readText(file) };
}

/** The path of a file, checked to be readable. @throws PARE_FILE_UNREADABLE */
async function readable(path: string, { files, cwd }: Pick<EvaluationCatalogue, 'files' | 'cwd'>): Promise<string> {
  const file = files.path.resolve(cwd, path);
  await files.access(file).catch((error: Error) => {
    throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: systemErrorCode(error) === 'ENOENT' ? 'no such file' : error.message }, error);
  });
  return file;
}

/** Of options meant for every evaluator, those this one has. */
function commonOptions(plugin: Evaluator, options: Readonly<Record<string, unknown>> | undefined): Readonly<Record<string, unknown>> {
  const properties = (optionsJsonSchema(plugin.options)['properties'] ?? {}) as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.entries(options ?? {}).filter(([name]) => name in properties));
}

export interface EvaluationRun {
  readonly core: HostCore;
  readonly library: ModelLibrary;
  readonly model: Model;
  /** The model before compression. Evaluators that require one are left out without. */
  readonly original: Model | undefined;
  /** The model as events and reports name it. */
  readonly name: string;
  readonly backend: Backend;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Runs evaluators on a model one after another. */
export async function runEvaluation({ evaluators, ...sources }: PreparedEvaluation, run: EvaluationRun): Promise<EvaluationRecord[]> {
  const { core, library, model, original, name, backend, signal } = run;
  const records: EvaluationRecord[] = [];
  let tokenizer: Promise<Tokenizer> | undefined;
  for (const [index, { plugin, options }] of evaluators.entries()) {
    if (plugin.original === 'required' && original === undefined) continue;
    const started = performance.now();
    core.emit('evaluation:start', { evaluator: plugin.id, model: name });
    const label = `evaluator "${plugin.id}"`;
    try {
      signal.throwIfAborted();
      const context = await createPluginContext(core, { plugin: plugin.id, task: plugin.id, deps: plugin.deps, signal, seed: deriveSeed(run.seed, index), backend });
      const { metrics, details } = await plugin.evaluate({
        ...context,
        model,
        options,
        data: plugin.data === 'none' ? undefined : plugin.data === 'items' ? sources.items : sources.data,
        original: plugin.original === undefined ? undefined : original,
        tokenizer: () => (tokenizer ??= library.openTokenizer(model.directory, model.files)),
      });
      checkMetrics(plugin, metrics);
      records.push({ evaluator: plugin.id, options, metrics, details, seconds: (performance.now() - started) / 1000 });
      core.emit('evaluation:done', { evaluator: plugin.id, model: name, metrics });
    } catch (error) {
      throw pluginFailure(error, signal, `evaluating ${name}`, { plugin: label });
    }
  }
  return records;
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
