import { z } from 'zod';

/** Options of the Hugging Face folder. */
export const huggingFaceOptions = z.strictObject({
  dequantize: z
    .boolean()
    .default(false)
    .describe('Multiply quantized weights out and write them dense: every loader opens the folder, but it is as large as the uncompressed model.'),
  multiplyOut: z
    .boolean()
    .default(false)
    .describe('Multiply factorized weights out and write the products dense: every loader opens the folder, but these matrices are as large and as slow as before.'),
  oddBits: z
    .boolean()
    .default(false)
    .describe(
      'Allow 3, 5, 6 and 7 bits, written as one stream of bits across words. compressed-tensors reads that from 0.18 on; older versions read other numbers.',
    ),
  groupIndex: z
    .boolean()
    .default(false)
    .describe('Allow columns grouped by activation order, with a stored group index. compressed-tensors reads that up to 0.18 and refuses it from 0.19 on.'),
  maximumShardBytes: z.int().min(1).default(5_000_000_000).describe('Most bytes of tensors in one weight file.'),
});

export type HuggingFaceOptions = z.infer<typeof huggingFaceOptions>;
