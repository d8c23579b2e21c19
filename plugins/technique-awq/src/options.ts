import { bitsOption, groupSizeOption, propagateErrorsOption, scaleTypeOption } from '@pare/weights';
import { z } from 'zod';

/** Options of `awq`. */
export const awqOptions = z.strictObject({
  bits: bitsOption,
  groupSize: groupSizeOption(128),
  symmetric: z.boolean().default(false).describe('True for grids around zero without a stored zero point; false for grids that follow minimum and maximum.'),
  scaleType: scaleTypeOption("Type that scales of grids are stored in; auto takes the weight's own."),
  quantize: z
    .boolean()
    .default(true)
    .describe('False to fold the scales that suit this grid and leave dense weights, for a later stage such as gptq with the same bits and groupSize. Nothing is clipped then.'),
  gridPoints: z.int().min(1).max(100).default(20).describe('Exponents that are tried: 0, 1/n … (n − 1)/n of the mean magnitude of each input. 1 leaves all scales at 1.'),
  clipSearch: z.boolean().default(true).describe('Whether ranges of groups are shrunk where that lowers the error of their part of the output; queries and keys are left alone.'),
  objective: z
    .enum(['halves', 'layers'])
    .default('halves')
    .describe('What scales of layers that share an input are judged by: the output of the whole attention or MLP (halves), or the sum over the layers of their own outputs (layers), which is faster.'),
  trialTokens: z.int().min(1).default(512).describe('With objective halves: calibration tokens that attention and MLP are run on for each exponent.'),
  propagateErrors: propagateErrorsOption(false),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Modules whose input saw fewer calibration tokens, such as experts that the router left out, are rounded to nearest, and the report says so.'),
});

export type AwqOptions = z.output<typeof awqOptions>;
