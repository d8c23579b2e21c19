import type { Backend, Recipe } from '@pare/core';
import { once, openedSubject, type Subject } from '@pare/evaluation';
import { memoryFiles, requireFreeSpace, sha256 } from '@pare/platform';
import { journalInputs, readCalibration, recipeCode, runStages, type RecipeRun } from './compress.js';
import { Journal } from './journal.js';
import { checkWeights } from './weight-check.js';

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
  /** Where finished work waits: a folder that outlives the process for runs that can be resumed. Memory when absent. */
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
    const content = (await recipeCode(run)).known ? await source.hash() : undefined;
    return content === undefined ? undefined : sha256(JSON.stringify({ ...inputs, model: content }));
  });
  let journal: Journal | undefined;
  let finished = false;
  const apply = once(async () => {
    const content = await hash();
    const kept = folder !== undefined && content !== undefined;
    const files = kept ? run.files : memoryFiles();
    const output = kept ? files.path.join(folder, content.slice(0, 32)) : '/recipe';
    await requireFreeSpace(files, output, preparation.plan.diskBytes);
    await checkWeights(model, run.core, signal);
    journal = await Journal.open({ files, output, inputs, resume, overwrite: true }, library);
    const { compressed } = await runStages(run, journal, await backend(), calibration);
    finished = true;
    return openedSubject(compressed, await backend()).open();
  });
  const { planned, finalPlans } = preparation;
  const loaders = new Map([...finalPlans.keys()].map((module) => [module, async () => (await apply()).model.weight(module)]));
  const adjusts = preparation.stages.some(({ technique }) => technique.adjusts === true);
  const adjustable = library.parametersOf(planned).filter(({ module }) => adjusts && (module === undefined || module.form === 'dense'));
  const adjusted = new Map(adjustable.map((parameter) => [parameter.name, async () => library.readParameter((await apply()).model, parameter)]));
  return {
    recipe: preparation.recipe,
    model: library.overlayModel(planned, loaders, finalPlans, adjusted),
    artifact: undefined,
    hash,
    open: apply,
    async [Symbol.asyncDispose]() {
      // What a run left unfinished is worth going on from, if it can be found again.
      if (finished) await journal?.remove();
      else await journal?.release().catch(() => undefined);
    },
  };
}
