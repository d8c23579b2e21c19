import { folderOptionFields } from '@pare/hf-folder';
import { z } from 'zod';

/** Options of the AWQ folder. */
export const awqFormatOptions = z.strictObject({
  scales: z
    .enum(['float16', 'held'])
    .default('float16')
    .describe('Type of the scales: float16, which readers keep them in, rounded where they are held in a finer type; or the type they are held in.'),
  ...folderOptionFields,
});

export type AwqFormatOptions = z.infer<typeof awqFormatOptions>;
