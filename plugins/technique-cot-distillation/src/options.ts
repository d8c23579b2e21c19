import { answerOptions, blackBoxTeacherOptions } from '@pare/black-box-teacher';
import { trainingOptions } from '@pare/distillation';
import { z } from 'zod';

/** Options of `cot-distillation`. They hold for the whole stage. */
export const cotDistillationOptions = z.strictObject({
  method: z
    .enum(['step-by-step', 'mt-cot', 'fine-tune-cot', 'label-only'])
    .default('step-by-step')
    .describe(
      'What is learnt: answers and, as a second task, reasons (distilling step-by-step); answers and, as a second task, reasons with answers (MT-CoT); reasons with answers alone (fine-tune-CoT); answers alone, to compare with.',
    ),
  alpha: z.number().min(0).max(1).default(0.5).describe('Share of the answers in the loss of two tasks: alpha · answers + (1 − alpha) · reasons.'),
  arrangement: z.enum(['reason-first', 'answer-first']).default('reason-first').describe('Order of reason and answer in the second task of mt-cot.'),
  rationales: z.enum(['teacher', 'file']).default('teacher').describe('Where reasons come from: the teacher, or the file\'s own.'),
  labels: z.enum(['file', 'teacher']).default('file').describe('Where answers come from: the file, or the one that most of the teacher\'s reasons come to.'),
  answerFilter: z.boolean().default(true).describe('Keeps only reasons that come to the file\'s answer.'),
  compare: z.enum(['auto', 'text', 'number']).default('auto').describe('How answers are compared; auto takes numbers where the file\'s answer is one, or an equation.'),
  labelPrompt: z.string().min(1).default('Question: {question}\nAnswer:').describe('What asks for an answer; {name} stands for a text of the item. It has to be what the model will be asked later.'),
  labelResponse: z.string().min(1).default(' {answer}').describe('The answer.'),
  rationalePrompt: z.string().min(1).default('Question: {question}\nReason:').describe('What asks for a reason; it tells the model the second task, and is not used later.'),
  rationaleResponse: z.string().min(1).default(' {rationale}').describe('The reason, in step-by-step.'),
  chainResponse: z.string().min(1).default(' {rationale}\nAnswer: {answer}').describe('Reason and answer, in mt-cot and fine-tune-cot.'),
  answerFirstResponse: z.string().min(1).default(' {answer}\nReason: {rationale}').describe('Answer and reason behind labelPrompt, in mt-cot with answer-first.'),
  teacherPrompt: z.string().min(1).default('Question: {question}\nReason:').describe('What the teacher is asked for a reason.'),
  demonstrations: z.string().default('').describe('Solved examples that stand before each prompt of the teacher: few-shot chain-of-thought prompting.'),
  answerCue: z.string().min(1).default('\nAnswer:').describe('Text between reason and answer. A teacher that does not write it is asked once more, with it.'),
  hintPrompt: z.string().min(1).optional().describe('What the teacher is asked, knowing {answer}, where none of its reasons came to the right one (rationalisation).'),
  rationaleField: z.string().min(1).default('rationale').describe('The item\'s text that {rationale} stands for.'),
  answerField: z.string().min(1).default('answer').describe('The item\'s text that {answer} stands for.'),
  emptyRationales: z.enum(['drop', 'refuse']).default('drop').describe('What becomes of empty reasons: they are left out and counted, or end the run.'),
  questions: z.int().min(0).default(0).describe('Questions to use, from the start of the file; 0 for all.'),
  ...blackBoxTeacherOptions,
  ...answerOptions,
  temperature: answerOptions.temperature.default(0.7),
  ...trainingOptions,
});

export type CotDistillationOptions = z.output<typeof cotDistillationOptions>;
