import { activationsOption, bitsOption, groupSizeOption, propagateErrorsOption, scaleTypeOption } from '@pare/weights';
import { z } from 'zod';

/** Options of `gptq`. */
export const gptqOptions = z.strictObject({
  bits: bitsOption,
  groupSize: groupSizeOption(128),
  symmetric: z.boolean().default(true).describe('True for grids around zero without a stored zero point; false for grids that follow minimum and maximum.'),
  actOrder: z.boolean().default(true).describe('True to quantize inputs in the order of falling Hessian diagonal, the strongest first; false for their natural order.'),
  staticGroups: z
    .boolean()
    .default(true)
    .describe('True to fix all grids from the original weights, so that actOrder needs no stored group index; false to take each grid from compensated weights.'),
  trueSequential: z
    .boolean()
    .default(false)
    .describe('True to collect the statistics of each step of a block after the steps before it were quantized: more accurate, several passes a block.'),
  damping: z.number().min(0).lt(1).default(0.01).describe('Share of the mean Hessian diagonal that is added to the diagonal.'),
  dampingIncrement: z.number().min(0).lt(1).default(0.01).describe('Added to the damping, again and again, while the Hessian is not positive definite; 0 to fail instead.'),
  blockSize: z.int().min(1).default(128).describe('Columns after which errors are propagated to all later ones at once. Changes speed, not results.'),
  clip: z
    .enum(['minmax', 'mse'])
    .default('minmax')
    .describe('Range of a grid: its extremes (minmax), or the shrunk range of least reconstruction error Σ|ŵ − w|^2.4 (mse).'),
  activations: activationsOption('none'),
  scaleType: scaleTypeOption("Type that scales are stored in; auto takes the weight's own."),
  propagateErrors: propagateErrorsOption(true),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Modules whose input saw fewer calibration tokens, such as experts that the router left out, are rounded to nearest, and the report says so.'),
});

export type GptqOptions = z.output<typeof gptqOptions>;
