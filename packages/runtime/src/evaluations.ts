import { nearest, optionsJsonSchema, pareError, systemErrorCode, type Backend, type Evaluator, type FileSystem, type TextSource } from '@pare/core';
import { runEvaluators, type EvaluationRecord, type EvaluationStore, type PreparedEvaluator, type Subject } from '@pare/evaluation';
import { pluginFailure } from './cancellation.js';
import type { EvaluationRequest } from './host-types.js';
import type { ModelLibrary } from './model-library.js';
import { applySetting, parseOptions, parseSetting } from './options.js';
import { createPluginContext, deriveSeed, type HostCore } from './plugin-context.js';

/** Evaluators with their options settled and their data at hand. */
export interface PreparedEvaluation {
  readonly evaluators: readonly PreparedEvaluator[];
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
export async function prepareEvaluation(request: Omit<EvaluationRequest, 'model' | 'recipe'>, catalogue: EvaluationCatalogue): Promise<PreparedEvaluation> {
  const known = [...catalogue.evaluators.keys()];
  const settings = (request.set ?? []).map(parseSetting);
  const evaluators: PreparedEvaluator[] = [];
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
export async function openItems(items: string | TextSource, context: Pick<EvaluationCatalogue, 'files' | 'cwd'>): Promise<TextSource> {
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

/** Runs evaluators on a model one after another. */
export function runEvaluation({ evaluators, data, items }: PreparedEvaluation, run: EvaluationRun): Promise<EvaluationRecord[]> {
  const { core, library, name, backend, signal } = run;
  return runEvaluators({
    ...run,
    evaluators,
    data,
    items,
    // By the id, not by the place in a list: a result must not depend on what else is evaluated.
    seedOf: (id) => deriveSeed(run.seed, ...[...id].map((letter) => letter.codePointAt(0)!)),
    context: async ({ id, deps }, seed) => createPluginContext(core, { plugin: id, task: id, deps, signal, seed, backend: await backend() }),
    openTokenizer: ({ directory, files }) => library.openTokenizer(directory, files),
    failure: (error, id) => pluginFailure(error, signal, `evaluating ${name}`, { plugin: `evaluator "${id}"` }),
    onStart: (evaluator) => core.emit('evaluation:start', { evaluator, model: name }),
    onDone: ({ evaluator, metrics, cached }) => core.emit('evaluation:done', { evaluator, model: name, metrics, cached }),
  });
}
