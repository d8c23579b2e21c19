import { apiVersion, defineEvaluator, noOptions, type Evaluator } from '@pare/core';
import { sizeOf } from './size.js';

export { sizeOf, type ModelSize } from './size.js';

/** Parameters, bytes, bits per weight and compression ratio, with everything counted. Reads no weights. */
export const size: Evaluator<Record<string, never>> = defineEvaluator({
  id: 'size',
  api: apiVersion,
  title: 'Size',
  summary: 'Parameters, stored bytes, bits per weight and compression ratio, with codes, scales, zeros, indices and untouched tensors counted.',
  options: noOptions,
  data: 'none',
  reads: 'summary',
  metrics: [
    { name: 'parameters', unit: 'elements', direction: 'neutral', summary: 'logical elements, a tied matrix once' },
    { name: 'bytes', unit: 'bytes', direction: 'lower', summary: 'bytes of the stored weights' },
    { name: 'bitsPerWeight', unit: 'bits', direction: 'lower', summary: 'stored bits divided by parameters' },
    { name: 'compressionRatio', unit: '', direction: 'higher', summary: 'bytes of the dense original in its own type divided by bytes' },
  ],
  evaluate({ model }) {
    const { baselineBytes, baselineType, ...metrics } = sizeOf(model);
    return Promise.resolve({ metrics, details: { baselineBytes, baselineType } });
  },
});

export default size;
