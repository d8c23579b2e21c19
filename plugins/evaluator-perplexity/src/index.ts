import { apiVersion, defineEvaluator, isPareError, pareError, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator, type TextSource, type Tokenizer } from '@pare/core';
import { portionsOf } from '@pare/evaluation';
import { perplexityOptions, type PerplexityOptions } from './options.js';
import { perplexityOf } from './perplexity.js';
import { cutWindows, spannedTokens, type ScoredWindow } from './windows.js';

export { perplexityOf, type PerplexityResult } from './perplexity.js';
export type { PerplexityOptions } from './options.js';

/**
 * Perplexity on windows of a text: the whole text is tokenised without special tokens and cut into windows, the first N are taken, tokens 2 … L of each
 * are predicted from those before them in the window. Overlapping windows, a beginning-of-sequence token and the mean over tokens are options. Runs in portions
 * of windows, each of which a checkpoint keeps.
 */
export const perplexity: Evaluator<PerplexityOptions> = defineEvaluator({
  id: 'perplexity',
  api: apiVersion,
  title: 'Perplexity',
  summary: 'How well a language model predicts a text: exp of the mean negative log-likelihood over windows of a text.',
  options: perplexityOptions,
  data: 'text',
  reads: 'predictions',
  metrics: [{ name: 'perplexity', unit: '', direction: 'lower', summary: 'exp of the mean negative log-likelihood of a token' }],
  evaluate,
});

export default perplexity;

async function evaluate(context: EvaluationContext<PerplexityOptions>): Promise<EvaluationResult> {
  const { model, predictor, options, data, signal, progress, checkpoint } = context;
  const { sequenceLength, weighting } = options;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'perplexity' });
  const { maxPositions } = model.description;
  if (sequenceLength > maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions: maxPositions });

  const windows = await readWindows(await context.tokenizer(), data, options);
  throwIfAborted(signal, 'evaluation');
  const portions = portionsOf(windows, ({ tokens }) => tokens.length);
  const likelihoods: number[][] = [];
  for (const [index, { name, items }] of portions.entries()) {
    const values = await checkpoint.piece(name, async () => {
      const tokens = items.map((window) => window.tokens);
      const computed = await predictor.negativeLogLikelihood(tokens, {
        signal,
        onProgress: ({ completed, total, detail }) => {
          progress.report({ completed: index + completed / total, total: portions.length, unit: 'portions', detail });
        },
      });
      return computed.map((window) => [...window]);
    });
    likelihoods.push(...values);
    progress.report({ completed: index + 1, total: portions.length, unit: 'portions' });
  }
  const result = perplexityOf(
    likelihoods.map((values, index) => Float64Array.from(values.slice(values.length - windows[index]!.scored))),
    weighting,
  );
  if (!Number.isFinite(result.perplexity)) context.log.warn(`the mean negative log-likelihood is ${String(result.meanNegativeLogLikelihood)}: the model is broken`);
  const { perplexity: value, ...details } = result;
  return { metrics: { perplexity: value }, details: { ...details, sequenceLength, weighting, text: data.name } };
}

/**
 * The windows that the options ask for.
 * @throws PARE_OPTIONS_INVALID for a stride that leaves tokens out, or no beginning-of-sequence token; PARE_CALIBRATION_TOO_SHORT
 */
async function readWindows(tokenizer: Tokenizer, data: TextSource, options: PerplexityOptions): Promise<ScoredWindow[]> {
  const { samples, sequenceLength, stride, weighting } = options;
  const bos = options.bos ? tokenizer.bosToken : undefined;
  const invalid = (problem: string): Error => pareError('PARE_OPTIONS_INVALID', { owner: 'perplexity', problems: [problem] });
  if (options.bos && bos === undefined) throw invalid('bos: the tokenizer has no beginning-of-sequence token');
  const held = sequenceLength - (bos === undefined ? 0 : 1);
  if (stride > held) throw invalid(`stride: ${String(stride)} would leave tokens out, a window holds ${String(held)} of the text`);
  const rule = { length: sequenceLength, stride: stride === 0 ? undefined : stride, bos, samples: samples === 0 ? undefined : samples };
  if (samples === 0) {
    const windows = cutWindows(tokenizer.encode(await data.text()), { ...rule, rest: weighting === 'token' });
    if (windows.length > 0) return windows;
  }
  // The model library is large; importing this plugin must not load it.
  const { tokenWindows } = await import('@pare/model');
  const needed = spannedTokens(rule);
  const [ids] = await tokenWindows(tokenizer, data, { samples: 1, sequenceLength: needed }).catch((error: unknown) => {
    if (!isPareError(error) || error.code !== 'PARE_CALIBRATION_TOO_SHORT') throw error;
    const found = Number(error.data['found']);
    throw pareError('PARE_CALIBRATION_TOO_SHORT', { file: data.name, found, needed, samples: Math.max(1, samples), length: sequenceLength });
  });
  return cutWindows(ids!, rule);
}
