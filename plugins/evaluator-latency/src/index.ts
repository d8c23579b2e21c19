import { apiVersion, defineEvaluator, pareError, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { findOnnxFiles, onnxFileName, type OnnxFile } from '@pare/onnx-decoder';
import { availableParallelism, cpus } from 'node:os';
import { basename, resolve } from 'node:path';
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
  reads: 'summary',
  measures: 'machine',
  metrics: [
    { name: 'prefillTokensPerSecond', unit: 'tokens/s', direction: 'higher', summary: 'batch · prompt length / time of the prompt, median of the runs' },
    { name: 'decodeTokensPerSecond', unit: 'tokens/s', direction: 'higher', summary: 'batch · new tokens / their time, with key-value cache, median of the runs' },
    { name: 'timeToFirstTokenMilliseconds', unit: 'ms', direction: 'lower', summary: 'prompt and choice of the first token, median of the runs' },
  ],
  evaluate,
});

export default latency;

async function evaluate({ model, artifact, options, signal, progress }: EvaluationContext<LatencyOptions>): Promise<EvaluationResult> {
  const { provider, threads, batch, newTokens, warmups, promptLengths } = options;
  const { maxPositions, vocabularySize } = model.description;
  const { path, dtype } = artifact?.format === 'onnx' && options.folder === '' ? { path: artifact.file, dtype: basename(artifact.file) } : await chosenFile(options, model.directory);
  const context = Math.max(...promptLengths) + newTokens;
  if (context > maxPositions) {
    const fix = `Lower --set latency.promptLengths=… or latency.newTokens=…: together at most ${String(maxPositions)}.`;
    throw pareError('PARE_WINDOW_TOO_LONG', { length: context, positions: maxPositions, fix });
  }

  const measured = await measure({ path, provider, threads, vocabularySize, maxPositions, schedule: options }, { signal, progress });
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

/** The file to measure. @throws PARE_ONNX_MISSING */
async function chosenFile({ folder, dtype }: LatencyOptions, modelFolder: string): Promise<OnnxFile> {
  const directory = folder === '' ? modelFolder : resolve(folder);
  const files = await findOnnxFiles(directory);
  const chosen = dtype === 'auto' ? files[0] : files.find((file) => file.dtype === dtype);
  if (chosen !== undefined) return chosen;
  const wanted = dtype === 'auto' ? 'ONNX decoder (onnx/model*.onnx)' : `onnx/${onnxFileName(dtype)}`;
  throw pareError('PARE_ONNX_MISSING', { directory, wanted, found: files.map((file) => `onnx/${onnxFileName(file.dtype)}`) });
}
