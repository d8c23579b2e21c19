import { samplingOptions, teacherOption, trainingOptions } from '@pare/distillation';
import { z } from 'zod';

/** Options of `minillm`. They hold for the whole stage. */
export const miniLlmOptions = z.strictObject({
  teacher: teacherOption,
  variant: z
    .enum(['paper', 'released'])
    .default('paper')
    .describe(
      'paper: a token earns what follows it, importance weights hold for all of the loss. released, as in the authors\' program: it earns its own reward, too, returns are whitened over the texts drawn together, and the divergence is not weighted.',
    ),
  teacherShare: z.number().min(0).max(1).default(0.2).describe('α: share of the teacher in the mixture that tokens are drawn from; 0 draws from the student alone.'),
  lengthNormalization: z.boolean().default(true).describe('Returns are means over the tokens that they are made of, and not sums.'),
  discount: z.number().gt(0).max(1).default(1).describe('The reward of each further token counts by this factor less. The authors\' program has 0.95.'),
  rewardScaling: z.number().positive().default(1).describe('Rewards are divided by it. The authors\' program has 0.5.'),
  rewardClip: z.number().positive().default(10).describe('Rewards are cut to this size.'),
  clipRatio: z.number().positive().default(0.2).describe('ε: how far the student may leave what tokens were drawn by before a text stops to push it.'),
  rollouts: z.int().min(1).default(32).describe('Texts that are drawn together.'),
  epochs: z.int().min(1).default(4).describe('Passes over the texts that were drawn, before new ones are.'),
  languageWeight: z.number().min(0).default(1).describe('Weight of language modelling on the calibration text in the loss; 0 does without the text.'),
  softShare: z.number().min(0).max(1).default(0.5).describe('Share of the teacher\'s predictions in language modelling; the rest is the text\'s own tokens.'),
  textBatchSize: z.int().min(1).default(4).describe('Windows of the calibration text in each step.'),
  ...samplingOptions,
  ...trainingOptions,
  batchSize: z.int().min(1).default(16).describe('Drawn texts in each step.'),
  microBatch: z.int().min(1).default(16).describe('Texts that are computed together; fewer take less memory.'),
});

export type MiniLlmOptions = z.output<typeof miniLlmOptions>;
