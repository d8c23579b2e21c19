import { apiVersion, defineEvaluator, pareError, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { comparePredictions, portionsOf } from '@pare/evaluation';
import type { WindowComparison } from '@pare/model';
import { divergenceOptions, type DivergenceOptions } from './options.js';
import { divergenceStatistics, type TokenComparison } from './statistics.js';

export { divergenceStatistics, type DivergenceStatistics, type Estimate, type Spread, type TokenComparison } from './statistics.js';
export type { DivergenceOptions } from './options.js';

/**
 * How far a model's predictions are from the original's on a text: Kullback-Leibler divergence of the next-token distributions, and the statistics that
 * llama.cpp prints beside it. Windows are cut as the perplexity evaluator cuts them. Both models run block by block, and their heads side by side in slices
 * of the vocabulary, so that neither's logits are ever held.
 */
export const divergence: Evaluator<DivergenceOptions> = defineEvaluator({
  id: 'divergence',
  api: apiVersion,
  title: 'Divergence',
  summary: 'How far predictions are from the original\'s: KL divergence, agreement of the most likely token, change of probabilities.',
  options: divergenceOptions,
  data: 'text',
  reads: 'predictions',
  original: 'required',
  metrics: [
    { name: 'klDivergence', unit: 'nats', direction: 'lower', summary: 'mean KL(original ‖ model) of a next-token distribution' },
    { name: 'klDivergenceMedian', unit: 'nats', direction: 'lower', summary: 'median over tokens' },
    { name: 'klDivergence99', unit: 'nats', direction: 'lower', summary: '99th percentile over tokens' },
    { name: 'klDivergenceMax', unit: 'nats', direction: 'lower', summary: 'largest of any token' },
    { name: 'topOneAgreement', unit: '', direction: 'higher', summary: 'share of tokens, 0 to 1, for which both models hold the same token most likely' },
    { name: 'perplexityRatio', unit: '', direction: 'lower', summary: 'perplexity divided by the original\'s' },
    { name: 'logPerplexityRatio', unit: 'nats', direction: 'lower', summary: 'mean change of a token\'s negative log-likelihood' },
    { name: 'probabilityChange', unit: '', direction: 'higher', summary: 'mean change of the probability given to the token that comes' },
    { name: 'probabilityChangeRms', unit: '', direction: 'lower', summary: 'root of the mean square of that change' },
  ],
  evaluate,
});

export default divergence;

async function evaluate(context: EvaluationContext<DivergenceOptions>): Promise<EvaluationResult> {
  const { model, predictor, original, originalPredictor, options, data, signal, progress, checkpoint } = context;
  const { samples, sequenceLength, logitsMiB } = options;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'divergence' });
  if (original === undefined || originalPredictor === undefined) throw pareError('PARE_ORIGINAL_MISSING', { evaluator: 'divergence' });
  const positions = Math.min(model.description.maxPositions, original.description.maxPositions);
  if (sequenceLength > positions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions });

  // The model library is large; importing this plugin must not load it.
  const { checkVocabularies, tokenWindows } = await import('@pare/model');
  checkVocabularies(original, model);
  const windows = await tokenWindows(await context.tokenizer(), data, { samples: samples === 0 ? undefined : samples, sequenceLength });
  throwIfAborted(signal, 'evaluation');

  const portions = portionsOf(windows, ({ length }) => length);
  const results: KeptComparison[] = [];
  for (const [index, { name, items }] of portions.entries()) {
    const kept = await checkpoint.piece(name, async () => {
      const compared = await comparePredictions({
        original: originalPredictor,
        model: predictor,
        names: [original.name, model.name],
        windows: items,
        signal,
        logitsBytes: logitsMiB * 2 ** 20,
        onProgress: ({ completed, total, detail }) => {
          progress.report({ completed: index + completed / total, total: portions.length, unit: 'portions', detail });
        },
      });
      return compared.map(
        (window): KeptComparison => ({ divergence: [...window.divergence], originalLoss: [...window.originalLoss], loss: [...window.loss], sameTop: [...window.sameTop] }),
      );
    });
    results.push(...kept);
    progress.report({ completed: index + 1, total: portions.length, unit: 'portions' });
  }
  const statistics = divergenceStatistics(joined(results));
  return {
    metrics: {
      klDivergence: statistics.divergence.mean,
      klDivergenceMedian: statistics.divergence.median,
      klDivergence99: statistics.divergence.percentiles['99']!,
      klDivergenceMax: statistics.divergence.maximum,
      topOneAgreement: statistics.topOneAgreement.mean,
      perplexityRatio: statistics.perplexity.ratio.mean,
      logPerplexityRatio: statistics.perplexity.logarithmOfRatio.mean,
      probabilityChange: statistics.probabilityChange.mean,
      probabilityChangeRms: statistics.probabilityChange.rootMeanSquare.mean,
    },
    details: { ...statistics, windows: windows.length, sequenceLength, text: data.name, original: original.name },
  };
}

/** A window's comparison as a checkpoint keeps it. */
type KeptComparison = { readonly [K in keyof WindowComparison]: readonly number[] };

/** All windows' tokens in one row. */
function joined(results: readonly KeptComparison[]): TokenComparison {
  const row = (key: keyof WindowComparison): number[] => results.flatMap((result) => result[key]);
  return {
    divergence: Float64Array.from(row('divergence')),
    originalLoss: Float64Array.from(row('originalLoss')),
    loss: Float64Array.from(row('loss')),
    sameTop: Uint8Array.from(row('sameTop')),
  };
}
