import { apiVersion, defineEvaluator, pareError, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import { findFile } from './find-file.js';
import { measure } from './measure.js';
import { latencyOptions, type LatencyOptions } from './options.js';
import { summarize } from './summary.js';

export { latencyOptions, type LatencyOptions } from './options.js';
export { quantile, type PromptLatency, type Spread } from './summary.js';

/** Speed of an exported decoder with key-value cache in onnxruntime: prompt, first token, and one token after another. */
export const latency: Evaluator<LatencyOptions> = defineEvaluator({
  id: 'latency',
  api: apiVersion,
  title: 'Latency',
  summary: 'Speed of the exported ONNX decoder in onnxruntime: prefill and decoding in tokens per second, and time to the first token.',
  options: latencyOptions,
  data: 'none',
  metrics: [
    { name: 'prefillTokensPerSecond', unit: 'tokens/s', direction: 'higher', summary: 'batch · prompt length / time of the prompt, median of the runs' },
    { name: 'decodeTokensPerSecond', unit: 'tokens/s', direction: 'higher', summary: 'batch · new tokens / their time, with key-value cache, median of the runs' },
    { name: 'timeToFirstTokenMilliseconds', unit: 'ms', direction: 'lower', summary: 'prompt and choice of the first token, median of the runs' },
  ],
  evaluate,
});

export default latency;

async function evaluate({ model, options, signal, progress }: EvaluationContext<LatencyOptions>): Promise<EvaluationResult> {
  const { provider, threads, batch, newTokens, warmups, promptLengths } = options;
  const { maxPositions, vocabularySize } = model.description;
  const { path, dtype } = await findFile(options.folder === '' ? model.directory : resolve(options.folder), options.dtype);
  const context = Math.max(...promptLengths) + newTokens;
  if (context > maxPositions) {
    const fix = `Lower --set latency.promptLengths=… or latency.newTokens=…: together at most ${String(maxPositions)}.`;
    throw pareError('PARE_WINDOW_TOO_LONG', { length: context, positions: maxPositions, fix });
  }

  const measured = await measure({ path, provider, threads, vocabularySize, schedule: options }, { signal, progress });
  const prompts = measured.samples.map((samples) => summarize(samples, batch));
  const { prefillTokensPerSecond, decodeTokensPerSecond, timeToFirstTokenMilliseconds } = prompts[0]!;
  return {
    metrics: { prefillTokensPerSecond, decodeTokensPerSecond, timeToFirstTokenMilliseconds: timeToFirstTokenMilliseconds.p50 },
    details: {
      file: path,
      dtype,
      provider,
      threads: threads === 0 ? 'chosen by onnxruntime' : threads,
      processor: cpus()[0]?.model.trim(),
      cores: availableParallelism(),
      runtime: `onnxruntime-node ${measured.runtimeVersion}`,
      batch,
      newTokens,
      warmups,
      context,
      loadMilliseconds: measured.loadMilliseconds,
      peakMemoryBytes: measured.peakMemoryBytes,
      prompts,
    },
  };
}
