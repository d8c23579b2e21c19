import { z } from 'zod';
import { dtypeNames } from './variants.js';

/** Options of the ONNX format. */
export const onnxOptions = z.strictObject({
  dtype: z
    .array(z.enum(['auto', ...dtypeNames]))
    .min(1)
    .default(['auto'])
    .describe(
      "Files to write, by transformers.js's names: fp32, fp16, and q2, q4, q8 (quantized modules stay packed, the rest fp32) or q2f16, q4f16 (the rest fp16). " +
        'auto: q2, q4 or q8 by the width of the quantized modules, fp32 when there are none.',
    ),
  accuracyLevel: z
    .union([z.literal(0), z.literal(1), z.literal(2), z.literal(4)])
    .default(4)
    .describe('Arithmetic of packed products: 4 rounds activations to 8 bits where the runtime has kernels for it (fastest), 1 and 0 keep them in float32, 2 in float16.'),
  experts: z
    .enum(['routed', 'all'])
    .default('routed')
    .describe('Mixture of experts: each expert on the tokens that chose it, or on every token (for runtimes that need fixed sizes; slower by the number of experts).'),
  maximumFileBytes: z
    .int()
    .min(1)
    .max(1.9e9)
    .default(1.9e9)
    .describe('Models with more bytes of weights keep them in data files (model_q4.onnx_data, ..._data_1, …) of at most this size; a larger tensor gets a file of its own.'),
  verifyByRunning: z.boolean().default(true).describe('Also run what was written in onnxruntime and compare its logits with the model, as a prompt and token by token.'),
});

export type OnnxOptions = z.output<typeof onnxOptions>;
