import { rankOptions } from '@pare/factorization';
import { z } from 'zod';

/** Options of `svd-llm`. */
export const svdLlmOptions = z.strictObject({
  ...rankOptions,
  damping: z
    .number()
    .gt(0)
    .lt(1)
    .default(1e-6)
    .describe('Share of the mean square of the inputs that is added to the square of each, so that inputs which never occur keep some weight; ten times as much, and again, where that is too little.'),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Modules whose input saw fewer calibration tokens, such as experts that the router left out, are factorized as svd does, and the report says so.'),
});

export type SvdLlmOptions = z.output<typeof svdLlmOptions>;
