import { apiVersion, defineEvaluator, pareError, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator, type Model } from '@pare/core';
import type { HiddenStates, WindowComparison } from '@pare/model';
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
  const { model, original, options, data, signal, backend, progress } = context;
  const { samples, sequenceLength, logitsMiB } = options;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'divergence' });
  if (original === undefined) throw pareError('PARE_ORIGINAL_MISSING', { evaluator: 'divergence' });
  const positions = Math.min(model.description.maxPositions, original.description.maxPositions);
  if (sequenceLength > positions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions });

  // The model library is large; importing this plugin must not load it.
  const { checkVocabularies, compareHeads, createBlockRunner, sharedChunkTokens, tokenWindows } = await import('@pare/model');
  checkVocabularies(original, model);
  const windows = await tokenWindows(await context.tokenizer(), data, { samples: samples === 0 ? undefined : samples, sequenceLength });
  throwIfAborted(signal, 'evaluation');

  // Of each model the embedding and every block pass over all windows once; then both heads do.
  const passes = original.description.blocks.length + model.description.blocks.length + 3;
  let pass = 0;
  let detail = '';
  const onProgress = ({ completed, total }: { readonly completed: number; readonly total: number }): void => {
    progress.report({ completed: pass + completed / total, total: passes, unit: 'passes', detail });
  };
  const chunkTokens = sharedChunkTokens(original, model);

  /** A model's states after its last block. */
  const run = async (side: Model, name: string): Promise<HiddenStates> => {
    await using runner = createBlockRunner({ model: side, backend, signal, chunkTokens, onProgress });
    const { blocks } = side.description;
    detail = `${name}, embedding`;
    const hidden = await runner.embed(windows);
    try {
      pass++;
      for (const index of blocks.keys()) {
        detail = `${name}, block ${String(index + 1)} of ${String(blocks.length)}`;
        await runner.advance(index, hidden);
        pass++;
      }
      return hidden;
    } catch (error) {
      await hidden[Symbol.asyncDispose]();
      throw error;
    }
  };

  await using originalStates = await run(original, 'original');
  await using states = await run(model, 'model');
  detail = 'heads';
  const results = await compareHeads({
    original: { model: original, hidden: originalStates },
    model: { model, hidden: states },
    windows,
    backend,
    signal,
    logitsBytes: logitsMiB * 2 ** 20,
    onProgress,
  });
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

/** All windows' tokens in one row. */
function joined(results: readonly WindowComparison[]): TokenComparison {
  const row = (key: 'divergence' | 'originalLoss' | 'loss'): Float64Array => {
    const values = new Float64Array(results.reduce((sum, result) => sum + result[key].length, 0));
    let start = 0;
    for (const result of results) {
      values.set(result[key], start);
      start += result[key].length;
    }
    return values;
  };
  return {
    divergence: row('divergence'),
    originalLoss: row('originalLoss'),
    loss: row('loss'),
    sameTop: Uint8Array.from(results.flatMap(({ sameTop }) => [...sameTop])),
  };
}
