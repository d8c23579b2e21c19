import { samplingOptions, teacherOption, trainingOptions } from '@pare/distillation';
import { z } from 'zod';

/** Options of `gkd`. They hold for the whole stage. */
export const gkdOptions = z.strictObject({
  teacher: teacherOption,
  beta: z
    .number()
    .min(0)
    .max(1)
    .default(0.5)
    .describe('Divergence from the teacher: 0 for KL(teacher ‖ student), 1 for KL(student ‖ teacher), between them the generalised Jensen–Shannon divergence with this weight of the teacher.'),
  onPolicyShare: z.number().min(0).max(1).default(0.5).describe('λ: share of the steps that learn from responses which the student writes itself; 0 is ordinary distillation on the data.'),
  otherResponses: z.enum(['data', 'teacher']).default('data').describe('Responses of the other steps: those of the data, or what the teacher writes.'),
  average: z.enum(['responses', 'tokens']).default('responses').describe('Whether each response of a step counts the same, or each token.'),
  ...samplingOptions,
  ...trainingOptions,
  batchSize: z.int().min(1).default(16).describe('Prompts in each step.'),
  microBatch: z.int().min(1).default(16).describe('Texts that are computed together; fewer take less memory.'),
});

export type GkdOptions = z.output<typeof gkdOptions>;
