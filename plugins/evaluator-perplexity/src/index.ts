import { apiVersion, defineEvaluator, pareError, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { perplexityOptions, type PerplexityOptions } from './options.js';
import { perplexityOf } from './perplexity.js';

export { perplexityOf, type PerplexityResult } from './perplexity.js';
export type { PerplexityOptions } from './options.js';

/**
 * Perplexity on non-overlapping windows: the whole text is tokenised without special tokens and cut into windows, the first N are taken, tokens 2 … L of each
 * are predicted from those before them in the window. Runs block by block, so memory holds one block whatever the model's depth.
 */
export const perplexity: Evaluator<PerplexityOptions> = defineEvaluator({
  id: 'perplexity',
  api: apiVersion,
  title: 'Perplexity',
  summary: 'How well a language model predicts a text: exp of the mean negative log-likelihood over non-overlapping windows.',
  options: perplexityOptions,
  data: 'text',
  metrics: [{ name: 'perplexity', unit: '', direction: 'lower', summary: 'exp of the mean negative log-likelihood of a token' }],
  evaluate,
});

export default perplexity;

async function evaluate(context: EvaluationContext<PerplexityOptions>): Promise<EvaluationResult> {
  const { model, options, data, signal, backend, progress } = context;
  const { samples, sequenceLength } = options;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'perplexity' });
  const { maxPositions, blocks } = model.description;
  if (sequenceLength > maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions: maxPositions });

  // The model library is large; importing this plugin must not load it.
  const { createBlockRunner, tokenWindows } = await import('@pare/model');
  const windows = await tokenWindows(await context.tokenizer(), data, { samples: samples === 0 ? undefined : samples, sequenceLength });
  throwIfAborted(signal, 'evaluation');

  // Embedding, every block, and the head each pass over all windows once.
  const passes = blocks.length + 2;
  let pass = 0;
  await using runner = createBlockRunner({
    model,
    backend,
    signal,
    onProgress: ({ completed, total }) => {
      const detail = pass === 0 ? 'embedding' : pass <= blocks.length ? `block ${String(pass)} of ${String(blocks.length)}` : 'head';
      progress.report({ completed: pass + completed / total, total: passes, unit: 'passes', detail });
    },
  });
  await using hidden = await runner.embed(windows);
  for (const index of blocks.keys()) {
    pass = index + 1;
    await runner.advance(index, hidden);
  }
  pass = blocks.length + 1;
  const result = perplexityOf(await runner.negativeLogLikelihood(hidden, windows));
  if (!Number.isFinite(result.perplexity)) context.log.warn(`the mean negative log-likelihood is ${String(result.meanNegativeLogLikelihood)}: the model is broken`);
  const { perplexity: value, ...details } = result;
  return { metrics: { perplexity: value }, details: { ...details, sequenceLength, text: data.name } };
}
