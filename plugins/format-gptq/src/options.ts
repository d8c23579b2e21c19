import { folderOptionFields } from '@pare/hf-folder';
import { z } from 'zod';

/** Options of the GPTQ folder. */
export const gptqFormatOptions = z.strictObject({
  version: z
    .union([z.literal('auto'), z.literal(1), z.literal(2)])
    .default('auto')
    .describe(
      'Checkpoint format: 1 (gptq, zero points stored minus one, what every reader knows) or 2 (gptq_v2, zero points as they are, for GPTQModel and vLLM). auto: 1 where all grids are symmetric, else 2, since a zero point of 0 has no place in version 1.',
    ),
  scales: z
    .enum(['float16', 'held'])
    .default('float16')
    .describe('Type of the scales: float16, which readers keep them in, rounded where they are held in a finer type; or the type they are held in.'),
  ...folderOptionFields,
});

export type GptqFormatOptions = z.infer<typeof gptqFormatOptions>;
