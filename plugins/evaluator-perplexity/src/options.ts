import { z } from 'zod';

export const perplexityOptions = z.strictObject({
  samples: z.int().min(0).default(64).describe('Windows to evaluate, from the start of the text; 0 for all that it fills.'),
  sequenceLength: z.int().min(2).default(512).describe('Tokens of a window. Figures of different lengths cannot be compared.'),
});

export type PerplexityOptions = z.infer<typeof perplexityOptions>;
