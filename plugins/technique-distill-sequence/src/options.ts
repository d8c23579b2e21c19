import { answerOptions, blackBoxTeacherOptions } from '@pare/black-box-teacher';
import { trainingOptions } from '@pare/distillation';
import { z } from 'zod';

/** Options of `distill-sequence`. They hold for the whole stage. */
export const distillSequenceOptions = z.strictObject({
  source: z.enum(['teacher', 'file']).default('teacher').describe('Who answers the prompts: the teacher, or the file of prompts itself, which then holds answers that some other model, or people, have given.'),
  promptTemplate: z
    .string()
    .min(1)
    .default('Question: {question}\nAnswer:')
    .describe('What is asked; {name} stands for a text of the item. Items without these texts use their query, ctx or prompt. It has to be what the model will be asked later.'),
  responseTemplate: z.string().min(1).default(' {answer}').describe('The file\'s answer; items without these texts use their response, completion or output.'),
  prompts: z.int().min(0).default(0).describe('Prompts to use, from the start of the file; 0 for all.'),
  labelShare: z.number().min(0).max(1).default(0).describe('Share of the file\'s own answers in the loss, beside the teacher\'s.'),
  select: z.enum(['all', 'nearest']).default('all').describe('Which of a prompt\'s answers are learnt: all of them, or the one that is most like the file\'s (sequence-level interpolation).'),
  unfinished: z.enum(['drop', 'keep']).default('drop').describe('What becomes of answers that were cut off: they are left out, or learnt without an end.'),
  emptyAnswers: z.enum(['drop', 'refuse']).default('drop').describe('What becomes of empty answers: they are left out and counted, or end the run.'),
  similarity: z.number().gt(0).max(1).default(1).describe('Of a prompt\'s answers that are this similar (ROUGE-L, 1 for equal) only the first is kept.'),
  ...blackBoxTeacherOptions,
  ...answerOptions,
  ...trainingOptions,
});

export type DistillSequenceOptions = z.output<typeof distillSequenceOptions>;
