import { activationsOption, scaleTypeOption } from '@pare/weights';
import { z } from 'zod';

/** Options of `smoothquant`. */
export const smoothquantOptions = z.strictObject({
  strength: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe("The method's α, 0 to 1: how much of the outliers moves from inputs into weights. 0.5 suits OPT and BLOOM, 0.8 to 0.85 Llama and Mistral."),
  sites: z
    .enum(['norms', 'all'])
    .default('norms')
    .describe('Which inputs are smoothed: those that come from norms, as in the paper (norms), or also those whose scales fold into the layer before, such as down projections (all).'),
  smooth: z.boolean().default(true).describe('False to round without smoothing, for comparison.'),
  quantize: z.boolean().default(true).describe('False to smooth only and leave dense weights, for a later stage such as gptq that rounds weights and activations.'),
  activations: activationsOption('dynamic-token'),
  granularity: z.enum(['channel', 'tensor']).default('channel').describe('What shares a grid of weights: all inputs of an output (channel), or the whole matrix (tensor).'),
  scaleType: scaleTypeOption("Type that scales of grids are stored in; auto takes the weight's own."),
  minimumTokens: z
    .int()
    .min(1)
    .default(32)
    .describe('Inputs of which fewer calibration tokens were seen, such as those of experts that the router left out, are not smoothed, and the report says so.'),
});

export type SmoothquantOptions = z.output<typeof smoothquantOptions>;
