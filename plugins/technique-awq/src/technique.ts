import { apiVersion, defineTechnique, eachModule, float32Tensor, inModule, pareError, throwIfAborted, type ModuleHandle, type ModuleInfo, type Technique, type TechniqueContext } from '@pare/core';
import { BlockFolding, type FoldChange } from '@pare/folding';
import { absMeanStatistic, ExecutableCache, fewTokens, gramStatistic } from '@pare/model';
import { denseFloat32, denseWeight, quantizeMatrix, resolveScaleType } from '@pare/weights';
import { clampGroups, searchClip } from './clip-search.js';
import { DeviceLosses } from './device-losses.js';
import { awqOptions, type AwqOptions } from './options.js';
import { checkGroupSize, planModule } from './plan.js';
import { columnScales, searchSite, trialGrid, type SearchTools } from './scale-search.js';
import { judgingHalf } from './judging-half.js';
import { TrialMatrix } from './trial-matrix.js';

/**
 * AWQ (Lin et al. 2024, arXiv 2306.00978): inputs with large activations get finer grids by scaling their weights up and what makes them down, which leaves the function as it is; then ranges of
 * groups are shrunk where that helps, and weights are rounded to nearest. The loss it reports is Σ ‖(Ŵ − W)·x‖²/N over the N calibration tokens, Ŵ being the rounded weights with all
 * scales undone: the mean squared change of the layer's outputs, summed over them.
 */
export const awq: Technique<AwqOptions> = defineTechnique<AwqOptions>({
  id: 'awq',
  api: apiVersion,
  title: 'AWQ',
  summary: 'Scales inputs with large activations up before weights are rounded to 2 to 8 bits, undoes it in the operator before, and shrinks ranges where that helps.',
  family: 'quantization',
  scope: 'block',
  paper: 'arXiv:2306.00978',
  options: awqOptions,
  accepts: ['dense'],
  produces: ['quantized', 'dense'],
  adjusts: true,
  statistics: () => [absMeanStatistic, gramStatistic],
  trialTokens: ({ objective, trialTokens, gridPoints }) => (objective === 'halves' && gridPoints > 1 ? trialTokens : 0),
  inputs: ({ propagateErrors }) => (propagateErrors ? 'compressed' : 'original'),
  check: checkGroupSize,
  plan: (targets) => targets.map(planModule),
  async apply(context) {
    await using executables = new ExecutableCache(context.backend);
    await scaleAndRound(context, executables);
  },
});

/** What the searches found for one matrix. */
interface Found {
  readonly columns: Float64Array;
  readonly details: Readonly<Record<string, number>>;
}

async function scaleAndRound(context: TechniqueContext<AwqOptions>, executables: ExecutableCache): Promise<void> {
  const losses = new DeviceLosses(executables);
  const { signal, progress, log, modules } = context;
  const folding = new BlockFolding(context);
  const { sites, text } = folding.sites();
  if (context.block?.index === 0) log.info(`scales of ${context.block.name}:\n${text}`);
  else log.debug(text);

  // All scales are searched on the weights as they are; dividing rows of a source does not change how they round.
  const found = new Map<string, Found>();
  for (const scaled of sites) {
    throwIfAborted(signal, 'AWQ');
    const [{ module: first }] = scaled.targets;
    progress.report({ completed: 0, total: modules.length, unit: 'modules', detail: `scales of ${first.info.name}` });
    const chosen = await inModule(first, () => searchSite(scaled, { executables, losses, trials: context.trials, half: judgingHalf(scaled.site, folding) }));
    if (chosen === undefined || chosen.exponent === 0) {
      for (const { module } of scaled.targets) found.set(module.info.name, { columns: new Float64Array(module.info.shape[1]).fill(1), details: chosen === undefined ? {} : searchDetails(chosen) });
      continue;
    }
    const scales = await inModule(first, () => folding.storable(scaled.site, chosen.scales));
    folding.fold(scaled.site, scales);
    for (const { module, consumer } of scaled.targets) found.set(module.info.name, { columns: columnScales(consumer.channels, scales), details: searchDetails(chosen) });
  }
  await eachModule(context, 'AWQ', (module) => finishModule(module, folding.changesOf(module), found.get(module.info.name), { executables, losses }));
  await folding.adjustParameters();
}

function searchDetails({ exponent, losses }: { readonly exponent: number; readonly losses: readonly number[] }): Record<string, number> {
  return { exponent, unscaledLoss: losses[0]!, scaledLoss: Math.min(...losses.filter((loss) => !Number.isNaN(loss))) };
}

/** Scales, clips and rounds a matrix. */
async function finishModule(module: ModuleHandle<AwqOptions>, changes: readonly FoldChange[], found: Found | undefined, { executables, losses }: Pick<SearchTools, 'executables' | 'losses'>): Promise<void> {
  const { info, options } = module;
  const [rows, columns] = info.shape;
  const { data: weight } = await module.weight();
  const apply = (values: Float32Array, source: boolean): Float32Array => changes.filter((change) => change.source === source).reduce((now, change) => change.apply(now), values);
  const details: Record<string, number> = { ...found?.details };
  if (!options.quantize) return module.replace(denseWeight(apply(apply(weight, false), true), info.shape, info.dtype), { details });

  const gram = await module.statistic(gramStatistic);
  details['tokens'] = gram.rows;
  const isKnown = gram.rows >= options.minimumTokens;
  const scales = found?.columns ?? new Float64Array(columns).fill(1);
  const scaled = apply(weight.slice(), false);
  const clipped = scaled.slice();
  if (isKnown && options.clipSearch && !unclipped.has(info.role)) {
    const grid = trialGrid(options, columns);
    using matrix = new TrialMatrix(executables, weight, columns, grid);
    const { limits, before, after } = await searchClip(losses, matrix, scales, grid.groupSize, gram.matrix);
    clampGroups(clipped, grid.groupSize, limits);
    details['clipGain'] = before > 0 ? 1 - after / before : 0;
  }
  // Rows that feed another site are divided last: whole rows, so that they round the same.
  const form = quantizeMatrix(apply(clipped, true), info.shape, options, resolveScaleType(options.scaleType, info.dtype));
  if (!isKnown) return module.replace(form, { fallback: fewTokens(gram.rows, options.minimumTokens, 'rounded to nearest'), details });

  const rowFactors = apply(new Float32Array(rows).fill(1), true);
  const error = denseFloat32(form);
  for (let row = 0, at = 0; row < rows; row++) for (let column = 0; column < columns; column++, at++) error[at] = (error[at]! / rowFactors[row]! - scaled[at]!) / scales[column]!;
  const loss = (await losses.trace(float32Tensor(info.shape, error), gram.matrix)) / gram.rows;
  if (!Number.isFinite(loss)) throw pareError('PARE_LOSS_NOT_FINITE', { technique: 'awq', module: info.name, loss });
  await module.replace(form, { loss, details });
}

/** Queries and keys meet in products before the softmax: what is cut off there is not made up for by smaller errors elsewhere. */
const unclipped: ReadonlySet<ModuleInfo['role']> = new Set<ModuleInfo['role']>(['attention.query', 'attention.key', 'attention.qkv']);
