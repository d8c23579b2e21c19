import { apiVersion, defineTechnique, eachModule, type Model, type ModuleHandle, type TargetModule, type Technique, type TechniqueContext } from '@pare/core';
import { checkSparsity, magnitudes, ownWeight, patternOf, planPruned, prunedEnergy, pruneOutputs } from '@pare/pruning';
import { denseFloat32, pruneMatrix, sparseWeight } from '@pare/weights';
import { competingUnits, prunedWeights } from './counts.js';
import { globalThreshold, maskUnder, type GlobalThreshold } from './global-threshold.js';
import { magnitudeOptions, type MagnitudeOptions } from './options.js';
import { pruneUnits } from './units.js';

/**
 * Magnitude pruning (Han et al. 2015, arXiv 1506.02626; N:M: Mishra et al. 2021, arXiv 2104.08378): the weights of the smallest magnitude become zero, the others stay
 * as they are. Needs no data; the baseline of all pruning. The loss it reports is Σ (ŵ − w)².
 */
export const magnitude: Technique<MagnitudeOptions> = defineTechnique<MagnitudeOptions>({
  id: 'magnitude',
  api: apiVersion,
  title: 'Magnitude pruning',
  summary: 'Sets the weights of the smallest magnitude to zero, per output, per layer, over the whole model, or N of every M inputs; needs no data.',
  family: 'pruning',
  scope: 'tensor',
  paper: 'arXiv:1506.02626',
  options: magnitudeOptions,
  accepts: ['dense', 'quantized', 'sparse'],
  produces: ['sparse'],
  check(target) {
    const { pattern, ranking, unit } = target.options;
    if (unit !== 'weight' && pattern !== 'unstructured') return `unit "${unit}" and pattern ${pattern} exclude each other; N:M patterns are of single weights`;
    if (unit !== 'weight' && ranking !== 'layer') return `unit "${unit}" ranks within a matrix: it needs ranking "layer", not "${ranking}"`;
    if (pattern !== 'unstructured' && ranking === 'global') return `pattern ${pattern} ranks within groups of inputs; ranking "global" is for pattern "unstructured"`;
    return checkSparsity(target, competingUnits(target));
  },
  plan: (targets) =>
    targets.map((target) => {
      const weights = target.info.shape[0] * target.info.shape[1];
      const estimated = target.options.ranking === 'global';
      // Selecting a rank costs a few comparisons for each weight. The float32 weight, scores and their copy, the mask, the result.
      return planPruned(target, { pattern: patternOf(target.options), pruned: prunedWeights(target), estimated, flops: 10 * weights, bytesPerWeight: 4 + 4 + 4 + 1 + 4 });
    }),
  apply: (context) => eachModule(context, 'magnitude pruning', (module) => pruneModule(module, context)),
});

async function pruneModule(module: ModuleHandle<MagnitudeOptions>, context: TechniqueContext<MagnitudeOptions>): Promise<void> {
  const { info, options } = module;
  const form = await ownWeight(module);
  const weight = denseFloat32(form);
  const pattern = patternOf(options);
  const scores = magnitudes(weight, info.shape[1]);
  const { pruned } = competingUnits(module);
  let mask: Uint8Array;
  if (options.unit !== 'weight') mask = pruneUnits(weight, info.shape, options, pruned);
  else if (pattern.kind === 'grouped' || options.ranking === 'row') mask = pruneOutputs(info.shape, pattern, scores, pruned);
  else if (options.ranking === 'layer') mask = pruneMatrix(info.shape, scores, pruned);
  else mask = maskUnder(weight, info.name, await sharedThreshold(options.sparsity, context));
  await module.replace(sparseWeight(form, pattern, mask), { loss: prunedEnergy(weight, mask) });
}

/** Thresholds of a stage by sparsity. A stage's targets are one array through all calls of a run, so that the passes over the model are made once. */
const thresholds = new WeakMap<readonly TargetModule<MagnitudeOptions>[], Map<number, Promise<GlobalThreshold>>>();

function sharedThreshold(sparsity: number, { targets, model, signal }: { targets: readonly TargetModule<MagnitudeOptions>[]; model: Model; signal: AbortSignal }): Promise<GlobalThreshold> {
  const bySparsity = thresholds.get(targets) ?? new Map<number, Promise<GlobalThreshold>>();
  thresholds.set(targets, bySparsity);
  let threshold = bySparsity.get(sparsity);
  if (threshold === undefined) {
    const competing = targets.filter(({ options }) => options.ranking === 'global' && options.sparsity === sparsity);
    threshold = globalThreshold(competing, sparsity, model, signal);
    bySparsity.set(sparsity, threshold);
  }
  return threshold;
}
