import { apiVersion, defineTechnique, eachModule, inModule, throwIfAborted, type InputQuantization, type ModuleHandle, type Technique, type TechniqueContext } from '@pare/core';
import { BlockFolding, type FoldChange, type TargetedSite } from '@pare/folding';
import { absMaxStatistic, fewTokens, requireFiniteMagnitudes } from '@pare/model';
import { denseWeight, dynamicTokenInput, quantizeMatrix, resolveScaleType, squaredError, staticTensorInput, withInput } from '@pare/weights';
import { smoothquantOptions, type SmoothquantOptions } from './options.js';
import { checkModule, planModules } from './plan.js';
import { smoothedSites } from './sites.js';
import { smoothingScales } from './smoothing-scales.js';

/**
 * SmoothQuant (Xiao et al. 2023, arXiv 2211.10438): each channel of a layer's inputs is divided by a scale and its weights are multiplied by it, so that neither has outliers; the division is
 * folded into the norm before. Then weights and inputs are rounded to 8 bits, or left to a later stage. The loss it reports is Σ (ŵ − w·s)².
 */
export const smoothquant: Technique<SmoothquantOptions> = defineTechnique<SmoothquantOptions>({
  id: 'smoothquant',
  api: apiVersion,
  title: 'SmoothQuant',
  summary: 'Moves outliers of activations into the weights, without changing the model, and rounds both to 8 bits.',
  family: 'quantization',
  scope: 'block',
  paper: 'arXiv:2211.10438',
  options: smoothquantOptions,
  accepts: ['dense'],
  produces: ['quantized', 'dense'],
  adjusts: true,
  statistics: () => [absMaxStatistic],
  check: checkModule,
  plan: planModules,
  apply: smoothAndRound,
});

/** What smoothing one matrix' inputs came to. */
interface Smoothed {
  /** Largest magnitude of any input, before and after. */
  readonly before: number;
  readonly after: number;
  readonly fallback: string | undefined;
}

async function smoothAndRound(context: TechniqueContext<SmoothquantOptions>): Promise<void> {
  const { signal, progress, log, modules, block } = context;
  const folding = new BlockFolding(context);
  const { sites, text } = folding.sites(smoothedSites);
  if (block?.index === 0) log.info(`scales of ${block.name}:\n${text}`);
  else log.debug(text);

  // All scales follow from the weights as they are.
  const smoothed = new Map<string, Smoothed>();
  for (const smoothedSite of sites) {
    throwIfAborted(signal, 'SmoothQuant');
    const [{ module: first }] = smoothedSite.targets;
    progress.report({ completed: 0, total: modules.length, unit: 'modules', detail: `scales of ${first.info.name}` });
    await inModule(first, async () => {
      const { scales, fallback } = await scalesOf(smoothedSite, folding);
      if (scales !== undefined) folding.fold(smoothedSite.site, scales);
      for (const { module, consumer } of smoothedSite.targets) {
        const { values } = await module.statistic(absMaxStatistic);
        const after = values.map((value, column) => value / (scales?.[consumer.channels[column]!] ?? 1));
        smoothed.set(module.info.name, { before: largest(values), after: largest(after), fallback });
      }
    });
  }
  await eachModule(context, 'SmoothQuant', (module) => finishModule(module, folding.changesOf(module), smoothed.get(module.info.name)));
  await folding.adjustParameters();
}

interface SiteScales {
  /** Undefined where too few tokens were seen. */
  readonly scales: Float64Array | undefined;
  readonly fallback: string | undefined;
}

/** The scales of a site: inputs by what any target saw, weights by all that read them, targets or not. */
async function scalesOf({ site, targets }: TargetedSite<SmoothquantOptions>, folding: BlockFolding<SmoothquantOptions>): Promise<SiteScales> {
  const { strength, minimumTokens } = targets[0].module.options;
  const inputs = new Float32Array(site.channels);
  let tokens = 0;
  for (const { module, consumer } of targets) {
    const magnitudes = await module.statistic(absMaxStatistic);
    requireFiniteMagnitudes(magnitudes);
    tokens = Math.max(tokens, magnitudes.rows);
    raise(inputs, magnitudes.values, consumer.channels);
  }
  if (tokens < minimumTokens) return { scales: undefined, fallback: fewTokens(tokens, minimumTokens, 'not smoothed') };
  const weights = new Float32Array(site.channels);
  for (const { module, channels } of site.consumers) {
    const data = await folding.weight(module);
    const columns = channels.length;
    const maxima = new Float32Array(columns);
    for (let start = 0; start < data.length; start += columns) for (let column = 0; column < columns; column++) maxima[column] = Math.max(maxima[column]!, Math.abs(data[start + column]!));
    raise(weights, maxima, channels);
  }
  return { scales: await folding.storable(site, smoothingScales(inputs, weights, strength)), fallback: undefined };
}

/** maxima[channel] ← max(maxima[channel], value) for the channel of each value. */
function raise(maxima: Float32Array, values: Float32Array, channels: Int32Array): void {
  for (const [index, channel] of channels.entries()) if (channel >= 0) maxima[channel] = Math.max(maxima[channel]!, values[index]!);
}

function largest(values: Float32Array): number {
  return values.reduce((most, value) => Math.max(most, value), 0);
}

/** Scales a matrix and rounds it. */
async function finishModule(module: ModuleHandle<SmoothquantOptions>, changes: readonly FoldChange[], smoothed: Smoothed | undefined): Promise<void> {
  const { info, options } = module;
  const { data: weight } = await module.weight();
  const scaled = changes.reduce((values, { apply }) => apply(values), weight);
  const details = smoothed === undefined ? {} : { largestInput: smoothed.before, largestSmoothedInput: smoothed.after };
  const report = { details, ...(smoothed?.fallback === undefined ? {} : { fallback: smoothed.fallback }) };
  if (!options.quantize) return module.replace(denseWeight(scaled, info.shape, info.dtype), report);
  const scaleType = resolveScaleType(options.scaleType, info.dtype);
  const form = quantizeMatrix(scaled, info.shape, { bits: 8, symmetric: true, granularity: options.granularity === 'tensor' ? 'tensor' : 'group' }, scaleType);
  await module.replace(withInput(form, await inputGridOf(module, smoothed)), { loss: squaredError(scaled, form), ...report });
}

/** How a layer rounds its inputs, which its sites have made smaller or left as they are. */
async function inputGridOf(module: ModuleHandle<SmoothquantOptions>, smoothed: Smoothed | undefined): Promise<InputQuantization | undefined> {
  const { activations, minimumTokens } = module.options;
  if (activations === 'none') return undefined;
  const magnitudes = await module.statistic(absMaxStatistic);
  requireFiniteMagnitudes(magnitudes);
  if (activations === 'dynamic-token' || magnitudes.rows < minimumTokens) return dynamicTokenInput;
  return staticTensorInput(smoothed?.after ?? largest(magnitudes.values), resolveScaleType(module.options.scaleType, module.info.dtype));
}
