import { apiVersion, defineEvaluator, type EvaluationContext, type EvaluationResult, type Evaluator } from '@pare/core';
import { keyValueBytesPerToken } from './key-value.js';
import { memoryOptions, type MemoryOptions } from './options.js';
import { peakResidentBytes } from './peak.js';

export { keyValueBytesPerToken } from './key-value.js';
export { memoryOptions, type MemoryOptions } from './options.js';

/** Memory that the process took so far, and that serving the model takes. Reads no weights. */
export const memory: Evaluator<MemoryOptions> = defineEvaluator({
  id: 'memory',
  api: apiVersion,
  title: 'Memory',
  summary: 'Peak memory of the process so far, bytes of the weights when served as stored, and bytes of key-value cache per token.',
  options: memoryOptions,
  data: 'none',
  reads: 'summary',
  measures: 'machine',
  metrics: [
    { name: 'peakMemoryBytes', unit: 'bytes', direction: 'lower', summary: 'most physical memory this process held since it started, all that it did included' },
    { name: 'weightBytes', unit: 'bytes', direction: 'lower', summary: 'weights in the form they are stored in: what a server that computes from it keeps' },
    { name: 'keyValueBytesPerToken', unit: 'bytes', direction: 'lower', summary: 'keys and values of one token of one sequence in all blocks' },
  ],
  evaluate,
});

export default memory;

async function evaluate({ model, options }: EvaluationContext<MemoryOptions>): Promise<EvaluationResult> {
  const { description, parameters, bytes } = model;
  const keyValue = (type: MemoryOptions['keyValueType']): number => keyValueBytesPerToken(description, type);
  return {
    metrics: { peakMemoryBytes: await peakResidentBytes(), weightBytes: bytes, keyValueBytesPerToken: keyValue(options.keyValueType) },
    details: {
      keyValueType: options.keyValueType,
      weightBytes: { stored: bytes, float16: 2 * parameters, float32: 4 * parameters },
      keyValueBytesPerToken: { float16: keyValue('float16'), float32: keyValue('float32') },
      keyValueBytesAtMaxPositions: keyValue(options.keyValueType) * description.maxPositions,
      maxPositions: description.maxPositions,
    },
  };
}
