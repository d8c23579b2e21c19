import { patternOption, sparsityOption } from '@pare/pruning';
import { z } from 'zod';

/** Options of `magnitude`. */
export const magnitudeOptions = z.strictObject({
  sparsity: sparsityOption,
  pattern: patternOption,
  ranking: z
    .enum(['row', 'layer', 'global'])
    .default('layer')
    .describe('Which weights compete, for the unstructured pattern: those of an output (row), of a matrix (layer), or of all targets with this ranking and sparsity (global).'),
  unit: z
    .enum(['weight', 'row', 'column'])
    .default('weight')
    .describe('What is pruned as one: single weights, all weights of an output (row), or all weights of an input (column). Rows and columns compete within their matrix.'),
  norm: z.enum(['l1', 'l2']).default('l2').describe('Norm that rows and columns are ranked by: Σ|w| (l1) or √Σw² (l2). Single weights rank the same under both.'),
});

export type MagnitudeOptions = z.output<typeof magnitudeOptions>;
