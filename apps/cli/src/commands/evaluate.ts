import { pareError } from '@pare/core';
import type { EvaluationReport, EvaluationRequest, Host } from '@pare/runtime';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { EvaluateOptions } from '../program.js';
import { routeSettings } from '../settings.js';
import { showProgress } from '../terminal/progress-display.js';
import type { Terminal } from '../terminal/terminal.js';
import { formatPairs } from '../terminal/table.js';
import { defaultCacheFolder } from '../values/cache-folder.js';
import { formatNamedMetric } from '../values/numbers.js';
import { defaultEvaluators } from './default-evaluators.js';

/** `pare evaluate`: measures models, exported files, and what recipes would make of a model. */
export async function evaluate(context: CommandContext, models: readonly string[], options: EvaluateOptions): Promise<void> {
  const { terminal, signal } = context;
  const recipes = options.recipe ?? [];
  await using host = await openHost(context, { cacheDirectory: typeof options.cache === 'string' ? options.cache : defaultCacheFolder() });
  // A recipe's result is compared with the model it came from.
  const evaluators = options.evaluator ?? defaultEvaluators(options.data, options.original ?? recipes[0]);
  const settings = await routeSettings(host, options.set, { formats: [], backend: options.backend, evaluators });
  const sets = await settingsOfRecipes(host, recipes, settings.recipe);
  const display = await showProgress(host, terminal);
  const reports: EvaluationReport[] = [];
  try {
    for (const model of models) {
      const request: EvaluationRequest = {
        model,
        artifact: options.artifact,
        evaluators,
        data: options.data,
        items: options.items,
        original: options.original,
        commonOptions: {
          ...(options.samples !== undefined && { samples: options.samples }),
          ...(options.sequenceLength !== undefined && { sequenceLength: options.sequenceLength }),
        },
        // What no recipe has is for an evaluator, which complains about ids that were not asked for.
        set: recipes.length === 0 ? [...settings.evaluators, ...settings.recipe] : settings.evaluators,
        seed: options.seed,
        backend: settings.backend,
        cache: options.cache !== false,
        resume: options.resume,
        signal,
      };
      // Before the recipes what they start from; evaluators that compare have nothing to compare it with.
      const own = recipes.length > 0 && options.original === undefined ? evaluators.filter((id) => host.plugin('evaluator', id).plugin.original !== 'required') : evaluators;
      const measured = (list: readonly string[]): string[] => request.set!.filter((text) => list.some((id) => text.startsWith(`${id}.`)));
      if (own.length > 0) reports.push(await host.evaluate(own.length === evaluators.length ? request : { ...request, evaluators: own, set: measured(own) }));
      for (const [index, recipe] of recipes.entries()) {
        const calibration = options.calibration === undefined ? undefined : { data: options.calibration, samples: options.calibrationSamples, sequenceLength: options.calibrationLength };
        reports.push(await host.evaluate({ ...request, recipe: { recipe, set: sets[index], calibration, prompts: options.prompts, memory: options.memory } }));
      }
    }
  } finally {
    display.stop();
  }
  await print(reports, recipes, terminal);
  if (options.evaluator === undefined && options.data === undefined) terminal.note('Give a text with --data to measure perplexity too.');
}

/** Of the settings for techniques, those that each recipe has a stage for. One that fits none goes to all, which complain. */
async function settingsOfRecipes(host: Host, recipes: readonly string[], settings: readonly string[]): Promise<readonly string[][]> {
  const techniques = await Promise.all(recipes.map(async (recipe) => (await host.resolveRecipe(recipe)).stages.map(({ technique }) => technique)));
  const fits = (text: string, stages: readonly string[]): boolean => stages.includes(/^[^.[]+/.exec(text)![0]);
  return techniques.map((stages) => settings.filter((text) => fits(text, stages) || !techniques.some((others) => fits(text, others))));
}

/** The document of `evaluate --json` for one result. */
export function evaluationDocument({ model, artifact, recipe, metrics, backend, evaluations }: EvaluationReport, recipeName?: string): Record<string, unknown> {
  return {
    model,
    ...(artifact !== undefined && { artifact }),
    ...(recipe !== undefined && { recipe: { ...recipe, name: recipe.name ?? recipeName } }),
    metrics,
    backend,
    evaluations: evaluations.map(({ evaluator, options, metrics: own, details, seconds, cached }) => ({ evaluator, options, metrics: own, details, seconds, cached })),
  };
}

async function print(reports: readonly EvaluationReport[], recipes: readonly string[], terminal: Terminal): Promise<void> {
  let at = 0;
  const documents = reports.map((report) => evaluationDocument(report, report.recipe === undefined ? undefined : recipes[at++ % recipes.length]));
  if (terminal.json) {
    terminal.printJson(documents.length === 1 ? documents[0] : { results: documents });
    return;
  }
  if (documents.length === 0) throw pareError('PARE_REPORT_EMPTY', { files: [] });
  if (documents.length > 1) {
    const [{ buildReport, formatChange, parseResults }, { comparisonText }] = await Promise.all([import('@pare/report'), import('./compare.js')]);
    const document = buildReport(parseResults({ results: JSON.parse(JSON.stringify(documents)) as unknown }, 'evaluate'));
    terminal.print(comparisonText(document, terminal.style, formatChange));
    for (const note of document.notes) terminal.note(`${terminal.noteStyle.yellow('note')} ${note}`);
    return;
  }
  const [report] = reports;
  const cached = new Set(report!.evaluations.flatMap((record) => (record.cached ? Object.keys(record.metrics) : [])));
  const mark = (name: string): string => (cached.has(name) ? terminal.style.dim('  (cached)') : '');
  terminal.print(formatPairs(Object.entries(report!.metrics).map(([name, value]) => [name, formatNamedMetric(name, value) + mark(name)])));
  if (cached.size > 0) terminal.note('Cached results were measured in an earlier run; --no-cache measures them again.');
}
