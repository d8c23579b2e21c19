import { pareError, type Architecture, type Artifact, type Backend, type Format, type Model, type Recipe } from '@pare/core';
import { artifactBytes, findArtifact, hashArtifact, hashModelFolder, openedSubject, sha256, type FoundArtifact, type Subject } from '@pare/evaluation';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { journalInputs, readCalibration, runStages, type RecipeRun } from './compress.js';
import { requireFreeSpace } from './disk.js';
import { Journal } from './journal.js';
import type { ModelLibrary } from './model-library.js';
import type { HostCore } from './plugin-context.js';
import { checkWeights } from './weight-check.js';

/** What opening something to evaluate needs of the host. */
export interface SubjectContext {
  readonly core: HostCore;
  readonly cwd: string;
  readonly library: ModelLibrary;
  readonly formats: readonly Format[];
  readonly architectures: readonly Architecture[];
  /** The backend, opened when it is first needed. */
  readonly backend: () => Promise<Backend>;
  readonly openModel: (model: string) => Promise<Model>;
  readonly signal: AbortSignal;
}

/** A model folder, an exported file, or a model that the caller opened. @throws PARE_ARTIFACT_UNKNOWN, and what opening a model throws */
export async function openSubject(target: string | Model, wanted: string | undefined, context: SubjectContext): Promise<Subject> {
  const { core, cwd, library, formats, architectures, signal } = context;
  if (typeof target !== 'string') return openedSubject(target, await context.backend());
  const path = resolve(cwd, target);
  const exists = (await stat(path).catch(() => undefined)) !== undefined;
  if (!exists && wanted !== undefined) throw pareError('PARE_ARTIFACT_UNKNOWN', { found: `"${wanted}" of ${target}`, known: [] });
  const found = exists ? await findArtifact(path, wanted, formats) : undefined;
  if (found !== undefined) {
    if (found.file !== path && wanted === undefined) core.log.info(`${target} holds no weights but ${found.file}, which is evaluated`);
    const model = await library.describeModel(found.directory, { architectures, signal, file: found.file, bytes: await artifactBytes(found) });
    return artifactSubject(found, model, signal);
  }
  const model = await context.openModel(target);
  const hash = once(() => hashModelFolder(model.directory, model.companionFiles, signal));
  return {
    model,
    artifact: undefined,
    hash,
    open: async () => openedSubject(model, await context.backend()).open(),
    [Symbol.asyncDispose]: () => model[Symbol.asyncDispose](),
  };
}

function artifactSubject(found: FoundArtifact, model: Model, signal: AbortSignal): Subject {
  let opened: Promise<Artifact> | undefined;
  return {
    model,
    artifact: { format: found.format, file: found.file },
    hash: once(() => hashArtifact(found, model.companionFiles, signal)),
    open: async () => ({ model, predictor: (await (opened ??= found.reader.open({ file: found.file, model, signal }))).predictor }),
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** What a recipe made of a model. */
export interface RecipeSubject extends Subject {
  /** With every option written out. */
  readonly recipe: Recipe;
}

/** What a recipe needs to be applied in memory. */
export interface RecipeSubjectOptions {
  readonly run: RecipeRun;
  readonly source: Subject;
  readonly backend: () => Promise<Backend>;
  /** Where finished work waits: a folder that outlives the process for runs that can be resumed. */
  readonly folder: string | undefined;
  readonly resume: boolean;
}

/**
 * What a recipe makes of a model. The recipe runs when the subject is opened; its results lie in a journal on disk, as those of a compression do, until the subject is disposed, so
 * memory does not grow with the model. No artefact is written.
 */
export async function recipeSubject({ run, source, backend, folder, resume }: RecipeSubjectOptions): Promise<RecipeSubject> {
  const { model, library, signal, preparation } = run;
  const calibration = await readCalibration(run);
  const inputs = await journalInputs(run, calibration);
  // Files by their content and not by their times.
  const hash = once(async () => {
    const content = await source.hash();
    return content === undefined ? undefined : sha256(JSON.stringify({ ...inputs, model: content }));
  });
  let journal: Journal | undefined;
  let temporary: string | undefined;
  let finished = false;
  const apply = once(async () => {
    const content = await hash();
    if (folder === undefined || content === undefined) temporary = await mkdtemp(join(tmpdir(), 'pare-recipe-'));
    const output = temporary === undefined ? join(folder!, content!.slice(0, 32)) : join(temporary, 'result');
    await requireFreeSpace(output, preparation.plan.diskBytes);
    await checkWeights(model, run.core, signal);
    journal = await Journal.open({ output, inputs, resume, overwrite: true }, library);
    const { compressed } = await runStages(run, journal, await backend(), calibration);
    finished = true;
    return openedSubject(compressed, await backend()).open();
  });
  const plans = new Map(preparation.stages.flatMap((stage) => [...stage.plans]));
  const loaders = new Map([...plans.keys()].map((module) => [module, async () => (await apply()).model.weight(module)]));
  return {
    recipe: preparation.recipe,
    model: library.overlayModel(model, loaders, plans),
    artifact: undefined,
    hash,
    open: apply,
    async [Symbol.asyncDispose]() {
      // What a run left unfinished is worth going on from, if it can be found again.
      if (finished) await journal?.remove();
      else await journal?.release();
      if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
    },
  };
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= work());
}
