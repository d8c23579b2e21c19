import { apiVersion, defineTechnique, pareError, type ModuleHandle, type Technique } from '@pare/core';
import { fewTokens, gramStatistic } from '@pare/model';
import { magnitudes, patternOf } from '@pare/pruning';
import { prunerRule, sweepLayers, type LayerWork } from '@pare/solvers';
import { denseWeight, pruneGroups, pruneMatrix, quantizeMatrix, sparseWeight } from '@pare/weights';
import { sparsegptOptions, type SparsegptOptions } from './options.js';
import { checkTarget, planModules, prunedWeights, quantizerOf } from './plan.js';

/**
 * SparseGPT (Frantar and Alistarh 2023, arXiv 2301.00774): columns are pruned one after another, the cheapest entries first, and what is removed is made up for by the
 * columns to come, so that the layer's outputs on calibration data change least. With `bits` what is kept is rounded in the same pass (§3.5). The loss it reports is
 * tr(Δ·H·Δᵀ) with H = (2/N)·XᵀX + damping: twice the mean squared change of the outputs over the N calibration tokens, damping included.
 */
export const sparsegpt: Technique<SparsegptOptions> = defineTechnique<SparsegptOptions>({
  id: 'sparsegpt',
  api: apiVersion,
  title: 'SparseGPT',
  summary: 'Prunes weights column by column, unstructured or N:M; later columns make up for what earlier ones lost on calibration data. Can quantize in the same pass.',
  family: 'pruning',
  scope: 'block',
  paper: 'arXiv:2301.00774',
  options: sparsegptOptions,
  accepts: ['dense', 'sparse'],
  produces: ['sparse'],
  statistics: () => [gramStatistic],
  inputs: ({ propagateErrors }) => (propagateErrors ? 'compressed' : 'original'),
  check: checkTarget,
  plan: planModules,
  apply: (context) =>
    sweepLayers(context, {
      title: 'SparseGPT',
      gram: gramStatistic,
      // N:M groups are of inputs that stand side by side, so columns are visited in their own order.
      factorOptions: ({ damping, dampingIncrement }) => ({ damping, dampingIncrement, actOrder: false }),
      minimumTokens: (options) => options.minimumTokens,
      sweep: sweepModule,
      fallback: pruneByMagnitude,
    }),
});

type Handle = ModuleHandle<SparsegptOptions>;

async function sweepModule(module: Handle, { factor, tokens, solve }: LayerWork): Promise<void> {
  const { info, options } = module;
  const pattern = patternOf(options);
  const rule = prunerRule({ pattern, sparsity: options.sparsity, quantizer: quantizerOf(module) });
  const { result, loss } = await solve(rule, options.blockSize);
  if (!Number.isFinite(loss)) throw pareError('PARE_LOSS_NOT_FINITE', { technique: 'sparsegpt', module: info.name, loss });
  const deadInputs = factor.dead.reduce((sum, dead) => sum + dead, 0);
  const values = result.values instanceof Float32Array ? denseWeight(result.values, info.shape, info.dtype) : result.values;
  await module.replace(sparseWeight(values, pattern, result.mask), { loss, details: { damping: factor.damping, tokens, ...(deadInputs > 0 ? { deadInputs } : {}) } });
}

/** A Gram matrix of a few tokens says nothing about the inputs to come: prune as many weights by magnitude, and say so. */
async function pruneByMagnitude(module: Handle, weight: Float32Array, tokens: number): Promise<void> {
  const { info, options } = module;
  const pattern = patternOf(options);
  const scores = magnitudes(weight, info.shape[1]);
  const mask = pattern.kind === 'grouped' ? pruneGroups(info.shape, scores, pattern) : pruneMatrix(info.shape, scores, prunedWeights(module));
  const quantizer = quantizerOf(module);
  const values = quantizer === undefined ? denseWeight(weight, info.shape, info.dtype) : quantizeMatrix(weight, info.shape, quantizer, quantizer.scaleType);
  const fallback = fewTokens(tokens, options.minimumTokens, quantizer === undefined ? 'pruned by magnitude' : 'pruned by magnitude and rounded to nearest');
  await module.replace(sparseWeight(values, pattern, mask), { fallback, details: { tokens } });
}
