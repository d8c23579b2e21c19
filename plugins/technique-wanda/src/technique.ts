import { apiVersion, defineTechnique, eachModule, pareError, type ModuleHandle, type TargetModule, type Technique } from '@pare/core';
import { fewTokens, squareSumStatistic } from '@pare/model';
import { checkSparsity, magnitudes, ownWeight, patternOf, planPruned, pruneOutputs, type CompetingWeights } from '@pare/pruning';
import { denseFloat32, sparseWeight, type RowScores } from '@pare/weights';
import { wandaOptions, type WandaOptions } from './options.js';
import { pruneByShare } from './variant.js';

/**
 * Wanda (Sun et al. 2023, arXiv 2306.11695): weights with the smallest |w| · ‖x‖₂ of their output become zero, where x is the input feature over the calibration tokens;
 * the others stay as they are. The loss it reports is Σ (ŵ − w)²·‖x‖²/N over the N tokens: the mean squared change of the outputs if input features were uncorrelated.
 */
export const wanda: Technique<WandaOptions> = defineTechnique<WandaOptions>({
  id: 'wanda',
  api: apiVersion,
  title: 'Wanda',
  summary: 'Sets to zero the weights of each output with the smallest magnitude times input norm on calibration data; the others stay as they are.',
  family: 'pruning',
  scope: 'block',
  paper: 'arXiv:2306.11695',
  options: wandaOptions,
  accepts: ['dense', 'quantized', 'sparse'],
  produces: ['sparse'],
  statistics: () => [squareSumStatistic],
  check(target) {
    const { pattern, variant } = target.options;
    if (variant && pattern !== 'unstructured') return `variant chooses how many weights each output keeps, and pattern ${pattern} fixes that; use pattern "unstructured"`;
    return checkSparsity(target, inputsOfRow(target));
  },
  plan: (targets) =>
    targets.map((target) => {
      const { info, options } = target;
      const weights = info.shape[0] * info.shape[1];
      const pruned = info.shape[0] * inputsOfRow(target).pruned;
      // The float32 weight, the mask, the result; the variant sorts all metrics.
      const bytesPerWeight = 4 + 1 + 4 + (options.variant ? 4 + 8 : 0);
      return planPruned(target, { pattern: patternOf(options), pruned, estimated: options.variant, flops: 12 * weights, bytesPerWeight });
    }),
  apply: (context) => eachModule(context, 'Wanda', pruneModule),
});

/** floor(in · sparsity) inputs of every output are pruned. */
function inputsOfRow({ info, options }: TargetModule<WandaOptions>): CompetingWeights {
  const count = info.shape[1];
  return { name: 'the inputs of an output', count, pruned: Math.floor(count * options.sparsity) };
}

async function pruneModule(module: ModuleHandle<WandaOptions>): Promise<void> {
  const { info, options } = module;
  const [rows, columns] = info.shape;
  const { values: squares, rows: tokens } = await module.statistic(squareSumStatistic);
  const form = await ownWeight(module);
  const weight = denseFloat32(form);
  const pattern = patternOf(options);
  const { pruned } = inputsOfRow(module);
  if (tokens < options.minimumTokens) {
    const mask = pruneOutputs(info.shape, pattern, magnitudes(weight, columns), pruned);
    return module.replace(sparseWeight(form, pattern, mask), { fallback: fewTokens(tokens, options.minimumTokens, 'pruned by magnitude'), details: { tokens } });
  }
  checkFinite(squares);
  const norms = squares.map(Math.sqrt);
  const scores: RowScores = (row, into) => {
    for (let column = 0, index = row * columns; column < columns; column++, index++) into[column] = Math.abs(weight[index]!) * norms[column]!;
  };
  const mask = options.variant ? pruneByShare(info.shape, scores, options.sparsity) : pruneOutputs(info.shape, pattern, scores, pruned);
  let loss = 0;
  for (let row = 0, index = 0; row < rows; row++) for (let column = 0; column < columns; column++, index++) if (mask[index] === 0) loss += weight[index]! ** 2 * squares[column]!;
  const deadInputs = norms.reduce((sum, norm) => sum + (norm === 0 ? 1 : 0), 0);
  await module.replace(sparseWeight(form, pattern, mask), { loss: loss / tokens, details: { tokens, ...(deadInputs > 0 ? { deadInputs } : {}) } });
}

/** @throws PARE_STATISTIC_NOT_FINITE */
function checkFinite(squares: Float32Array): void {
  const column = squares.findIndex((value) => !Number.isFinite(value));
  if (column !== -1) throw pareError('PARE_STATISTIC_NOT_FINITE', { statistic: 'sum of squares of the inputs', row: 0, column, value: String(squares[column]) });
}
