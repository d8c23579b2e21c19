import { patternOption, sparsityOption } from '@pare/pruning';
import { z } from 'zod';

/** Options of `wanda`. */
export const wandaOptions = z.strictObject({
  sparsity: sparsityOption,
  pattern: patternOption,
  variant: z
    .boolean()
    .default(false)
    .describe(
      'Unstructured only: prune in each output the smallest metrics that add up to one share of its sum, searched so that the layer has the sparsity asked for. Outputs then differ in sparsity.',
    ),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Modules whose input saw fewer calibration tokens, such as experts that the router left out, are pruned by magnitude, and the report says so.'),
});

export type WandaOptions = z.output<typeof wandaOptions>;
