import { folderOptionFields } from '@pare/hf-folder';
import { z } from 'zod';

/** Options of the Hugging Face folder. */
export const huggingFaceOptions = z.strictObject({
  dequantize: z
    .boolean()
    .default(false)
    .describe('Multiply quantized weights out and write them dense: every loader opens the folder, but it is as large as the uncompressed model.'),
  multiplyOut: folderOptionFields.multiplyOut,
  oddBits: z
    .boolean()
    .default(false)
    .describe(
      'Allow 3, 5, 6 and 7 bits, written as one stream of bits across words. compressed-tensors reads that from 0.18 on; older versions read other numbers.',
    ),
  nonUniform: z
    .boolean()
    .default(false)
    .describe('Allow pruned models whose sizes no ordinary key of config.json can state, such as layers of different widths. Pare opens such a folder, transformers and vLLM do not.'),
  groupIndex: z
    .boolean()
    .default(false)
    .describe('Allow columns grouped by activation order, with a stored group index. compressed-tensors reads that up to 0.18 and refuses it from 0.19 on.'),
  unpacked: z
    .boolean()
    .default(false)
    .describe(
      'Write 8-bit integers with one scale an output or matrix as int8 (compressed-tensors int-quantized), not packed in words. transformers reads both; vLLM reads int8 only together with quantized activations.',
    ),
  maximumShardBytes: folderOptionFields.maximumShardBytes,
});

export type HuggingFaceOptions = z.infer<typeof huggingFaceOptions>;
