import { teacherOption, trainingOptions } from '@pare/distillation';
import { z } from 'zod';

/** Options of `distill-logits`. They hold for the whole stage. */
export const distillLogitsOptions = z.strictObject({
  teacher: teacherOption,
  divergence: z
    .enum(['forward', 'reverse', 'jensen-shannon', 'squared-error'])
    .default('forward')
    .describe('How far the student is from the teacher: KL(teacher ‖ student), KL(student ‖ teacher), their generalised Jensen–Shannon divergence, or the squared difference of logits.'),
  beta: z.number().gt(0).lt(1).default(0.5).describe('Weight of the teacher in the mixture of jensen-shannon.'),
  temperature: z.number().positive().default(1).describe('Logits of both are divided by it; above 1 the teacher\'s less likely tokens count more.'),
  labelShare: z.number().min(0).max(1).default(0).describe('Share of the text\'s own next token in the loss.'),
  ...trainingOptions,
});

export type DistillLogitsOptions = z.output<typeof distillLogitsOptions>;
