import { patternOption, sparsityOption } from '@pare/pruning';
import { groupSizeOption, propagateErrorsOption, scaleTypeOption } from '@pare/weights';
import { z } from 'zod';

/** Options of `sparsegpt`. */
export const sparsegptOptions = z.strictObject({
  sparsity: sparsityOption,
  pattern: patternOption,
  bits: z
    .union([z.literal('none'), z.int().min(2).max(8)])
    .default('none')
    .describe('Bits of a code, 2 to 8, to round what is kept in the same pass; none to keep it dense.'),
  groupSize: groupSizeOption(-1, 'With bits: inputs that share a grid; -1 for one grid an output. Must divide the input width. Grids are taken from the weights before pruning.'),
  symmetric: z.boolean().default(false).describe('With bits: true for grids around zero without a stored zero point; false for grids that follow minimum and maximum.'),
  clip: z.enum(['minmax', 'mse']).default('minmax').describe('With bits: range of a grid, its extremes (minmax) or the shrunk range of least reconstruction error Σ|ŵ − w|^2.4 (mse).'),
  scaleType: scaleTypeOption("With bits: type that scales are stored in; auto takes the weight's own."),
  blockSize: z
    .int()
    .min(1)
    .default(128)
    .describe('Columns for which an unstructured mask is chosen at once, each block with the same sparsity, and after which errors are propagated. A multiple of M for N:M patterns.'),
  damping: z.number().min(0).lt(1).default(0.01).describe('Share of the mean Hessian diagonal that is added to the diagonal.'),
  dampingIncrement: z.number().min(0).lt(1).default(0.01).describe('Added to the damping, again and again, while the Hessian is not positive definite; 0 to fail instead.'),
  propagateErrors: propagateErrorsOption(true),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Modules whose input saw fewer calibration tokens, such as experts that the router left out, are pruned by magnitude, and the report says so.'),
});

export type SparsegptOptions = z.output<typeof sparsegptOptions>;
