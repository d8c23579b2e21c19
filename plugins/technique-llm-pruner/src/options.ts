import { z } from 'zod';

/** Options of `llm-pruner`. Those of the first target hold for the whole stage, `ratio` for each layer by itself. */
export const llmPrunerOptions = z.strictObject({
  ratio: z.number().gt(0).lt(1).default(0.25).describe('Share that goes: of the heads and neurons of each layer, of the hidden channels, or of the blocks.'),
  granularity: z
    .enum(['block', 'channel', 'layer'])
    .default('block')
    .describe('What goes: heads and neurons of the targeted layers (block), hidden channels everywhere (channel), or whole blocks (layer).'),
  importance: z
    .enum(['element', 'element-second', 'mixed', 'vector', 'l1', 'l2', 'random'])
    .default('element')
    .describe('Score of a weight or of a vector of weights: |g·w|, w²·F, |g·w − w²·F/2|, |Σ g·w|, |w|, w², or a random number. g is the gradient of the loss, F the mean of its squares by sample.'),
  reduction: z
    .enum(['sum', 'mean', 'max', 'prod', 'first', 'last'])
    .default('sum')
    .describe('How the scores of a group’s members (query, key, value, output; gate, up, down) become one.'),
  ranking: z
    .enum(['local', 'global'])
    .default('local')
    .describe('Whether the least important share of each layer goes, or that of all layers together, which leaves layers of different widths.'),
  iterations: z.int().min(1).default(1).describe('Steps in which the share is reached; importance is measured anew after each.'),
  multipleOf: z.int().min(1).default(1).describe('Neurons and channels that remain are rounded up to a multiple of this, so that groups of quantized weights and vector units come out even.'),
  samples: z.int().min(1).default(10).describe('Calibration windows that gradients are taken of.'),
  sequenceLength: z.int().min(2).default(64).describe('Tokens of each window that are used.'),
});

export type LlmPrunerOptions = z.output<typeof llmPrunerOptions>;
