import { bitsOption, dataFreeActivationsOption, groupSizeOption, scaleTypeOption } from '@pare/weights';
import { z } from 'zod';

/** Options of `rtn`. */
export const rtnOptions = z.strictObject({
  bits: bitsOption,
  numbers: z
    .enum(['integer', 'float8-e4m3'])
    .default('integer')
    .describe('What codes are: integers, or 8-bit floats with 4 bits of exponent (float8-e4m3; needs bits 8, symmetric, clip minmax), whose steps grow with the value.'),
  granularity: z
    .enum(['group', 'channel', 'tensor'])
    .default('group')
    .describe('What shares a grid: groupSize inputs of an output (group), all inputs of an output (channel), or the whole matrix (tensor).'),
  groupSize: groupSizeOption(128, 'Inputs that share a grid with granularity group; −1 for one grid an output. Must divide the input width.'),
  symmetric: z.boolean().default(true).describe('True for a grid around zero without a stored zero point; false for one that follows minimum and maximum.'),
  clip: z
    .enum(['minmax', 'mse'])
    .default('minmax')
    .describe('Range of a grid: its extremes (minmax), or the shrunk range of least reconstruction error Σ|ŵ − w|^2.4 (mse).'),
  activations: dataFreeActivationsOption,
  scaleType: scaleTypeOption("Type that scales are stored in; auto takes the weight's own."),
});

export type RtnOptions = z.output<typeof rtnOptions>;
