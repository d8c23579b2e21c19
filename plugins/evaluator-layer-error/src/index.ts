import { apiVersion, defineEvaluator, pareError, throwIfAborted, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import type { BlockError } from '@pare/model';
import { layerErrorOptions, type LayerErrorOptions } from './options.js';

export type { LayerErrorOptions } from './options.js';

/** A block's errors, as `details.blocks` lists them. */
export interface LayerErrorDetail extends BlockError {
  readonly block: number;
}

/**
 * Where quality is lost: the relative error ‖y − ŷ‖² / ‖y‖² of every block's output, y being the original's, over windows of a text. Once with both blocks
 * on the original's input (local), once with each model's own (accumulated).
 */
export const layerError: Evaluator<LayerErrorOptions> = defineEvaluator({
  id: 'layer-error',
  api: apiVersion,
  title: 'Layer error',
  summary: 'Where quality is lost: relative error of each block\'s output against the original\'s, alone and with all that came before.',
  options: layerErrorOptions,
  data: 'text',
  reads: 'weights',
  original: 'required',
  metrics: [
    { name: 'layerErrorMean', unit: '', direction: 'lower', summary: 'mean over blocks of the relative output error, each model on its own inputs' },
    { name: 'layerErrorWorst', unit: '', direction: 'lower', summary: 'largest of these' },
    { name: 'localLayerErrorMean', unit: '', direction: 'lower', summary: 'mean over blocks of the relative output error on the original\'s inputs' },
    { name: 'localLayerErrorWorst', unit: '', direction: 'lower', summary: 'largest of these' },
  ],
  evaluate,
});

export default layerError;

async function evaluate(context: EvaluationContext<LayerErrorOptions>): Promise<EvaluationResult> {
  const { model, original, options, data, signal, backend, progress } = context;
  const { samples, sequenceLength } = options;
  if (data === undefined) throw pareError('PARE_DATA_MISSING', { evaluator: 'layer-error' });
  if (original === undefined) throw pareError('PARE_ORIGINAL_MISSING', { evaluator: 'layer-error' });
  const positions = Math.min(model.description.maxPositions, original.description.maxPositions);
  if (sequenceLength > positions) throw pareError('PARE_WINDOW_TOO_LONG', { length: sequenceLength, positions });

  // The model library is large; importing this plugin must not load it.
  const { createBlockComparison, tokenWindows } = await import('@pare/model');
  const total = model.description.blocks.length;
  const blocks: LayerErrorDetail[] = [];
  await using comparison = createBlockComparison({
    original,
    model,
    backend,
    signal,
    onProgress: (chunks) => {
      progress.report({ completed: blocks.length + chunks.completed / chunks.total, total, unit: 'blocks', detail: `block ${String(blocks.length + 1)} of ${String(total)}` });
    },
  });
  const windows = await tokenWindows(await context.tokenizer(), data, { samples: samples === 0 ? undefined : samples, sequenceLength });
  throwIfAborted(signal, 'evaluation');
  await comparison.embed(windows);
  for (let block = 0; block < total; block++) blocks.push({ block, ...(await comparison.next()) });

  const mean = (key: 'local' | 'accumulated'): number => blocks.reduce((sum, error) => sum + error[key], 0) / total;
  const worst = (key: 'local' | 'accumulated'): LayerErrorDetail => blocks.reduce((most, error) => (error[key] > most[key] ? error : most));
  const [accumulated, local] = [worst('accumulated'), worst('local')];
  return {
    metrics: {
      layerErrorMean: mean('accumulated'),
      layerErrorWorst: accumulated.accumulated,
      localLayerErrorMean: mean('local'),
      localLayerErrorWorst: local.local,
    },
    details: { blocks, worstBlock: accumulated.block, worstLocalBlock: local.block, windows: windows.length, sequenceLength, text: data.name, original: original.name },
  };
}
