import { isPareError, pareError, throwIfAborted, type Backend, type FileSystem, type Model, type TextSource } from '@pare/core';
import { mergeMetrics, openedSubject } from '@pare/evaluation';
import { isDiskFull, requireFreeSpace, sampleMemory, sha256 } from '@pare/platform';
import { pluginCode, type PluginCode } from '@pare/plugin-lock';
import { pluginFailure } from './cancellation.js';
import { runEvaluation, type PreparedEvaluation } from './evaluations.js';
import type { CompressionRequest, CompressionResult, EvaluationRecord, FormatResult, LoadedPlugin, Manifest, StageResult } from './host-types.js';
import { hasUnfinishedRun, Journal, journalFolder, journalState } from './journal.js';
import { hashWindows, type JournalInputs } from './journal-inputs.js';
import { createManifest, hashSource, writeManifest } from './manifest.js';
import type { ModelLibrary } from './model-library.js';
import { createPartialOutput, inspectOutput, recoverOutput } from './output-folder.js';
import { createPluginContext, deriveSeed, type HostCore } from './plugin-context.js';
import { missingData, type Preparation } from './prepare.js';
import { onModel, RunResults, runStage, type StageOutcome } from './stage-runner.js';
import { checkWeights } from './weight-check.js';

/** A backend for the time of a run; disposing it closes one that was opened for it. */
export interface BackendLease extends AsyncDisposable {
  readonly backend: Backend;
}

/** What applying a recipe needs, looked up and checked. */
export interface RecipeRun {
  readonly core: HostCore;
  readonly files: FileSystem;
  readonly library: ModelLibrary;
  readonly request: Pick<CompressionRequest, 'seed'>;
  readonly preparation: Preparation;
  readonly model: Model;
  /** The model as reports and the manifest name it. */
  readonly modelName: string;
  readonly backendId: string;
  readonly plugins: readonly LoadedPlugin[];
  readonly signal: AbortSignal;
}

/** Everything a run needs. */
export interface CompressionRun extends RecipeRun {
  readonly request: CompressionRequest;
  /** Absolute. */
  readonly output: string;
  readonly evaluation: PreparedEvaluation | undefined;
  openBackend(): Promise<BackendLease>;
  /** Opens a folder that was just written; undefined when it holds no model that can be opened. */
  reopen(directory: string): Promise<Model | undefined>;
}

/**
 * Refuses an output path before anything else is looked at.
 * @throws PARE_OUTPUT_FOREIGN, PARE_OUTPUT_EXISTS, PARE_JOURNAL_EXISTS
 */
export async function checkOutput(files: FileSystem, output: string, request: Pick<CompressionRequest, 'overwrite' | 'resume'>, modelDirectory?: string): Promise<void> {
  const state = await inspectOutput(files, output, modelDirectory);
  const { overwrite = false, resume = false } = request;
  const unfinished = await hasUnfinishedRun(files, output);
  if (unfinished && !resume && !overwrite) throw pareError('PARE_JOURNAL_EXISTS', { output, journal: journalFolder(output) });
  // The run that is to be continued may have been allowed to replace this output.
  const allowed = overwrite || (resume && (await journalState(files, output))?.overwrite === true);
  if (state === 'ours' && !allowed) throw pareError('PARE_OUTPUT_EXISTS', { output });
}

/** Runs a recipe: stages with a journal, then formats into a folder beside the output, which is put in place when everything was verified. */
export async function compress(run: CompressionRun): Promise<CompressionResult> {
  const { files, request, output, preparation, library, model, signal } = run;
  const started = performance.now();
  throwIfAborted(signal, 'compression');
  const calibration = await readCalibration(run);
  await checkOutput(files, output, request, model.directory);
  await requireFreeSpace(files, output, preparation.plan.diskBytes - ((request.resume ?? false) ? ((await journalState(files, output))?.bytes ?? 0) : 0));
  const inputs = await journalInputs(run, calibration);
  await checkWeights(model, run.core, signal);
  let journal: Journal;
  try {
    journal = await Journal.open({ files, output, inputs, resume: request.resume ?? false, overwrite: request.overwrite ?? false }, library);
  } catch (error) {
    throw diskFailure(error, output, undefined);
  }
  try {
    await recoverOutput(files, output);
    const result = await runWithJournal(run, journal, calibration, started);
    await journal.remove();
    return result;
  } catch (error) {
    const failure = await runFailure(error, run, journal);
    // A disk that fails here, too, must not hide why the run ended.
    await journal.release().catch(() => undefined);
    throw failure;
  }
}

export interface Calibration {
  readonly windows: readonly Int32Array[];
  readonly textHash: string | undefined;
  readonly prompts: TextSource | undefined;
  readonly promptsHash: string | undefined;
}

/** Token windows of the calibration text, and prompts. @throws PARE_CALIBRATION_MISSING, PARE_PROMPTS_MISSING, PARE_CALIBRATION_TOO_SHORT, PARE_TOKENIZER_MISSING */
export async function readCalibration({ preparation, library, model }: RecipeRun): Promise<Calibration> {
  const { stages, calibration, prompts } = preparation;
  for (const missing of missingData(stages, preparation)) throw missing;
  const promptsHash = prompts === undefined ? undefined : sha256(await prompts.text());
  if (calibration === undefined) return { windows: [], textHash: undefined, prompts, promptsHash };
  const windows = await library.tokenWindows(await library.openTokenizer(model.directory, model.files), calibration.source, calibration);
  return { windows, textHash: sha256(await calibration.source.text()), prompts, promptsHash };
}

export async function journalInputs(run: RecipeRun, calibration: Calibration): Promise<JournalInputs> {
  const { preparation, model } = run;
  return {
    // The name and description of a recipe change nothing.
    recipe: { version: preparation.recipe.version, stages: preparation.recipe.stages },
    model: await run.library.describeModelFiles(model),
    calibration:
      preparation.calibration === undefined || calibration.textHash === undefined
        ? null
        : {
            text: calibration.textHash,
            tokens: hashWindows(calibration.windows),
            samples: preparation.calibration.samples,
            sequenceLength: preparation.calibration.sequenceLength,
          },
    ...(calibration.promptsHash === undefined ? {} : { prompts: calibration.promptsHash }),
    seed: run.request.seed ?? 0,
    backend: run.backendId,
    plugins: (await recipeCode(run)).names,
  };
}

/** The code that a recipe's results follow from. */
export function recipeCode({ preparation, model, plugins, backendId }: RecipeRun): Promise<PluginCode> {
  return pluginCode(plugins, [...preparation.stages.map(({ technique }) => `technique:${technique.id}`), `backend:${backendId}`], [model.description.modelType]);
}

async function runWithJournal(run: CompressionRun, journal: Journal, calibration: Calibration, started: number): Promise<CompressionResult> {
  const { preparation } = run;
  await using opened = await run.openBackend();
  const { backend } = opened;
  run.core.emit('run:start', { model: run.modelName, stages: preparation.stages.map(({ technique }) => technique.id), blocks: run.model.description.blocks.length });

  for (const { plugin, notes } of preparation.formats) for (const note of notes) run.core.emit('warning', { code: 'PARE_FORMAT_NOTE', message: `${plugin.id}: ${note}` });
  for (const note of run.library.describeFallbacks(backend, run.model)) run.core.emit('warning', { code: 'PARE_BACKEND_FALLBACK', message: `backend "${run.backendId}": ${note}` });

  const before = await metricsBefore(run, journal, backend);
  const { compressed, outcomes } = await runStages(run, journal, backend, calibration);
  const { formats, after, manifest } = await writeOutput(run, compressed, backend, calibration, outcomes, before.metrics);
  return {
    output: run.output,
    seconds: (performance.now() - started) / 1000,
    evaluationSeconds: before.seconds + after.seconds,
    peakMemoryBytes: sampleMemory()?.peakResidentBytes,
    backend: run.backendId,
    stages: preparation.stages.map((stage, index) => stageResult(stage.technique.id, outcomes[index]!)),
    formats,
    restoredBlocks: outcomes.reduce((sum, outcome) => sum + outcome.restoredBlocks, 0),
    metrics: after.metrics,
    metricsBefore: before.metrics,
    manifest,
  };
}

/** Runs all stages. The result reads its weights from the journal. */
export async function runStages(run: RecipeRun, journal: Journal, backend: Backend, { windows, prompts }: Calibration): Promise<{ readonly compressed: Model; readonly outcomes: readonly StageOutcome[] }> {
  const { core, library, preparation, model, signal } = run;
  const shared = { core, library, original: model, backend, journal, windows, prompts, seed: run.request.seed ?? 0, spillBytes: preparation.spillBytes, signal };
  let current = { model, results: new RunResults() };
  const outcomes: StageOutcome[] = [];
  for (const prepared of preparation.stages) {
    const outcome = await runStage({ ...shared, ...current }, onModel(prepared, current.model));
    outcomes.push(outcome);
    if (outcome.removal !== undefined) current = { model: library.sliceModel(current.results.over(current.model, library), outcome.removal), results: new RunResults() };
  }
  return { compressed: current.results.over(current.model, library), outcomes };
}

/** Metrics and how long they took. */
interface Measurement {
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
}

function secondsOf(records: readonly EvaluationRecord[]): number {
  return records.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** Metrics of the source. Kept in the journal, so that a continued run neither repeats nor changes them. */
async function metricsBefore(run: CompressionRun, journal: Journal, backend: Backend): Promise<Measurement> {
  const { evaluation, core, library, model, modelName, signal } = run;
  if (evaluation === undefined) return { metrics: {}, seconds: 0 };
  const { names } = await pluginCode(run.plugins, evaluation.evaluators.map(({ plugin }) => `evaluator:${plugin.id}`), []);
  const key = sha256(JSON.stringify([evaluation.evaluators.map(({ plugin, options }) => [plugin.id, options]), names, evaluation.data?.name, evaluation.items?.name])).slice(0, 16);
  const noted = await journal.note<Record<string, number>>(`metrics-${key}`);
  if (noted !== undefined) return { metrics: noted, seconds: 0 };
  const shared = { core, library, backend: () => Promise.resolve(backend), seed: run.request.seed ?? 0, signal };
  const records = await runEvaluation(evaluation, { ...shared, subject: openedSubject(model, backend), original: undefined, name: modelName });
  const metrics = mergeMetrics(records);
  await journal.writeNote(`metrics-${key}`, metrics);
  return { metrics, seconds: secondsOf(records) };
}

async function writeOutput(
  run: CompressionRun,
  compressed: Model,
  backend: Backend,
  calibration: Calibration,
  outcomes: readonly StageOutcome[],
  before: Readonly<Record<string, number>>,
): Promise<{ formats: readonly FormatResult[]; after: Measurement; manifest: Manifest }> {
  const { core, files, library, preparation, evaluation, output, signal } = run;
  const partial = await createPartialOutput(files, output);
  // Beside the writing, which waits for the disk much of the time; a failure is told where the hashes are needed.
  const stop = new AbortController();
  const hashed = hashSource(run.model, library, AbortSignal.any([signal, stop.signal]));
  hashed.catch(() => undefined);
  try {
    const formats = await writeFormats(run, compressed, backend, partial.directory);
    let after: Measurement = { metrics: {}, seconds: 0 };
    if (evaluation !== undefined) {
      // What was written is what counts; formats that only other programs can open are represented by the model in memory.
      await using reopened = await run.reopen(partial.directory);
      const model = reopened ?? compressed;
      const shared = { core, library, backend: () => Promise.resolve(backend), seed: run.request.seed ?? 0, signal };
      const records = await runEvaluation(evaluation, { ...shared, subject: openedSubject(model, backend), original: openedSubject(run.model, backend), name: output });
      after = { metrics: mergeMetrics(records), seconds: secondsOf(records) };
    }
    const manifest = createManifest({
      preparation,
      model: run.model,
      modelName: run.modelName,
      hashes: calibration,
      seed: run.request.seed ?? 0,
      backend: run.backendId,
      plugins: run.plugins,
      evaluation,
      outcomes,
      formats,
      before,
      after: after.metrics,
      source: await hashed,
    });
    await writeManifest(files, partial.directory, manifest);
    throwIfAborted(signal, 'compression');
    await partial.commit();
    return { formats, after, manifest };
  } finally {
    stop.abort();
    await partial.discard();
  }
}

/** Writes all formats, then reads all of them back: a format that spoils another's files does not go unnoticed. */
async function writeFormats(run: CompressionRun, model: Model, backend: Backend, directory: string): Promise<FormatResult[]> {
  const { core, files: fileSystem, preparation, signal } = run;
  const written: (Omit<FormatResult, 'verification'> & { verify: () => Promise<FormatResult['verification']> })[] = [];
  for (const [index, { plugin, options, notes }] of preparation.formats.entries()) {
    const label = `format "${plugin.id}"`;
    throwIfAborted(signal, 'compression');
    core.emit('format:start', { format: plugin.id });
    const base = await createPluginContext(core, { plugin: plugin.id, task: label, deps: undefined, signal, seed: deriveSeed(run.request.seed ?? 0, index), backend });
    const context = { ...base, model, options, directory, files: fileSystem };
    try {
      const files = [...(await plugin.write(context))].sort((a, b) => (a.path < b.path ? -1 : 1));
      for (const { path } of files) await fileSystem.access(fileSystem.path.join(directory, path));
      written.push({ id: plugin.id, files, ...(notes.length > 0 ? { notes } : {}), verify: () => plugin.verify(context, files) });
    } catch (error) {
      throw pluginFailure(error, signal, 'writing', { plugin: label });
    }
  }
  const results: FormatResult[] = [];
  for (const { id, files, notes, verify } of written) {
    throwIfAborted(signal, 'compression');
    try {
      results.push({ id, files, verification: await verify(), ...(notes === undefined ? {} : { notes }) });
    } catch (error) {
      throw pluginFailure(error, signal, 'verifying what it wrote', { plugin: `format "${id}"` });
    }
    core.emit('format:done', { format: id, files: files.length, bytes: files.reduce((sum, file) => sum + file.bytes, 0) });
  }
  return results;
}

function stageResult(technique: string, { reports, seconds }: StageOutcome): StageResult {
  const modules = [...reports].map(([module, report]) => ({ module, ...report }));
  const losses = modules.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
  return {
    technique,
    modules: modules.length,
    seconds,
    loss: losses.length === 0 ? undefined : losses.reduce((sum, loss) => sum + loss, 0),
    fallbacks: modules.flatMap(({ module, fallback }) => (fallback === undefined ? [] : [{ module, reason: fallback }])),
    reports: modules,
  };
}

/** A stopped run's error, with what is kept and how to go on. */
async function runFailure(error: unknown, run: CompressionRun, journal: Journal): Promise<unknown> {
  const kept = (await journal.hasWork().catch(() => false)) ? `Finished work is kept in ${journal.directory}; run the same command with --resume to go on.` : undefined;
  if (run.signal.aborted) {
    const aborted = pareError('PARE_ABORTED', { what: 'compression', ...(kept === undefined ? {} : { resume: kept }) }, error);
    if (isPareError(error)) aborted.place = error.place;
    return aborted;
  }
  return diskFailure(error, run.output, kept);
}

/** "No space left", wherever it came up, as one error; missing rights to the output's folder as another. */
function diskFailure(error: unknown, output: string, kept: string | undefined): unknown {
  if (isDiskFull(error)) return pareError('PARE_DISK_FULL', { path: output, kept }, error);
  const { code, path } = (error ?? {}) as { readonly code?: unknown; readonly path?: string };
  if ((code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR') && path?.startsWith(output) === true) {
    return pareError('PARE_OUTPUT_FOREIGN', { output, reason: code === 'ENOTDIR' ? 'a part of the path is a file' : 'its folder cannot be written to' }, error);
  }
  return error;
}

/** True when a folder holds a model's configuration and weights. */
export async function looksLikeModel(files: FileSystem, directory: string): Promise<boolean> {
  const config = await files.status(files.path.join(directory, 'config.json')).catch(() => undefined);
  return config?.kind === 'file' && (await files.list(directory)).some(({ name }) => name.endsWith('.safetensors'));
}
