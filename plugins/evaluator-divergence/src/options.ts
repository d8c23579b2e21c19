import { z } from 'zod';

export const divergenceOptions = z.strictObject({
  samples: z.int().min(0).default(64).describe('Windows to compare, from the start of the text; 0 for all that it fills.'),
  sequenceLength: z.int().min(2).default(512).describe('Tokens of a window. Figures of different lengths cannot be compared.'),
  logitsMiB: z.int().min(1).default(64).describe('Memory in MiB for logits of both models and what is computed of them at a time; figures do not depend on it.'),
});

export type DivergenceOptions = z.infer<typeof divergenceOptions>;
