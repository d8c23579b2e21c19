import { apiVersion, defineTechnique, pareError, type ModuleHandle, type QuantizedWeight, type SparseWeight, type Technique, type WeightForm } from '@pare/core';
import { fewTokens, gramStatistic, inputGrid, inputGridStatistics } from '@pare/model';
import { quantizerRule, sweepLayers, type LayerWork } from '@pare/solvers';
import { quantizeMatrix, resolveScaleType, withInput } from '@pare/weights';
import { gptqOptions, type GptqOptions } from './options.js';
import { checkModule, planModules } from './plan.js';

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323): columns are quantized one after another, and the error of each is made up for by those not quantized
 * yet, so that the layer's outputs on calibration data change least. The loss it reports is Σ e² = tr(Δ·H·Δᵀ) with H = (2/N)·XᵀX + damping: twice the
 * mean squared change of the outputs over the N calibration tokens, damping included. What an earlier stage pruned stays exactly zero.
 */
export const gptq: Technique<GptqOptions> = defineTechnique<GptqOptions>({
  id: 'gptq',
  api: apiVersion,
  title: 'GPTQ',
  summary: 'Quantizes weights to 2 to 8 bits column by column; later columns make up for the error of earlier ones on calibration data.',
  family: 'quantization',
  scope: 'block',
  paper: 'arXiv:2210.17323',
  options: gptqOptions,
  accepts: ['dense', 'quantized', 'sparse'],
  produces: ['quantized', 'sparse'],
  statistics: ({ activations }) => [gramStatistic, ...inputGridStatistics(activations)],
  sequential: (options) => options.trueSequential,
  inputs: ({ propagateErrors }) => (propagateErrors ? 'compressed' : 'original'),
  check: checkModule,
  plan: planModules,
  apply: (context) =>
    sweepLayers(context, {
      title: 'GPTQ',
      gram: gramStatistic,
      factorOptions: ({ damping, dampingIncrement, actOrder }) => ({ damping, dampingIncrement, actOrder }),
      minimumTokens: (options) => options.minimumTokens,
      sweep: sweepModule,
      fallback: roundModule,
    }),
});

type Handle = ModuleHandle<GptqOptions>;

async function sweepModule(module: Handle, { factor, tokens, solve }: LayerWork): Promise<void> {
  const { info, options } = module;
  const { bits, symmetric, groupSize, staticGroups, clip, blockSize } = options;
  const scaleType = resolveScaleType(options.scaleType, info.dtype);
  const input = await inputGrid(module, { ...options, scaleType });
  const pruned = await prunedBefore(module);
  const rule = quantizerRule({ bits, symmetric, groupSize, staticGroups, clip, scaleType }, pruned?.mask);
  const { result, loss } = await solve(rule, blockSize);
  if (!Number.isFinite(loss)) throw pareError('PARE_LOSS_NOT_FINITE', { technique: 'gptq', module: info.name, loss });
  const deadInputs = factor.dead.reduce((sum, dead) => sum + dead, 0);
  await module.replace(withMask(withInput(result, input), pruned), { loss, details: { damping: factor.damping, tokens, ...(deadInputs > 0 ? { deadInputs } : {}) } });
}

/** A Gram matrix of a few tokens says nothing about the inputs to come: round to nearest, and say so. */
async function roundModule(module: Handle, weight: Float32Array, tokens: number): Promise<void> {
  const { info, options } = module;
  const scaleType = resolveScaleType(options.scaleType, info.dtype);
  const form = withInput(quantizeMatrix(weight, info.shape, options, scaleType), await inputGrid(module, { ...options, scaleType }));
  const fallback = fewTokens(tokens, options.minimumTokens, options.activations === 'static-tensor' ? 'rounded to nearest, inputs by token' : 'rounded to nearest');
  await module.replace(withMask(form, await prunedBefore(module)), { fallback, details: { tokens } });
}

/** The sparse matrix that a stage before made of the module, if one did. */
async function prunedBefore(module: Handle): Promise<SparseWeight | undefined> {
  if (module.before?.produces !== 'sparse') return undefined;
  const form = await module.form();
  return form.form === 'sparse' ? form : undefined;
}

/** Zero is a point of every grid, so pruned entries were rounded to it already. */
function withMask(values: QuantizedWeight, pruned: SparseWeight | undefined): WeightForm {
  return pruned === undefined ? values : { form: 'sparse', shape: values.shape, pattern: pruned.pattern, mask: pruned.mask, values };
}
