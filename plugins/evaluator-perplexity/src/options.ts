import { z } from 'zod';

export const perplexityOptions = z.strictObject({
  samples: z.int().min(0).default(64).describe('Windows to evaluate, from the start of the text; 0 for all that it fills.'),
  sequenceLength: z.int().min(2).default(512).describe('Tokens of a window. Figures of different lengths cannot be compared.'),
  stride: z
    .int()
    .min(0)
    .default(0)
    .describe('Tokens between the starts of windows; each token is scored once, with more context the shorter the stride. 0 for windows that do not overlap.'),
  bos: z.boolean().default(false).describe('Put the beginning-of-sequence token before every window, in the place of one text token.'),
  weighting: z
    .enum(['window', 'token'])
    .default('window')
    .describe('Mean of the windows\' means, or mean over all scored tokens; with "token" and samples 0 the shorter rest of the text counts too.'),
});

export type PerplexityOptions = z.infer<typeof perplexityOptions>;
