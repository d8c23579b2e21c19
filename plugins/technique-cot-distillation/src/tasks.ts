import { lessonExamples, type Lesson } from '@pare/black-box-teacher';
import type { Tokenizer } from '@pare/core';
import { fillTemplate } from '@pare/model';
import type { Task } from '@pare/training';
import type { CotDistillationOptions } from './options.js';
import type { Question } from './questions.js';
import type { SolvedQuestion } from './reasons.js';

type TaskOptions = Pick<CotDistillationOptions, 'method' | 'alpha' | 'arrangement' | 'labelResponse' | 'rationaleResponse' | 'chainResponse' | 'answerFirstResponse'>;

export interface Tasks {
  /** `answers` and `reasons`, those that the method has. */
  readonly answers: Task | undefined;
  readonly reasons: Task | undefined;
  /** Texts that do not fit the model. */
  readonly unfit: number;
}

/** Share of the answers, and of the reasons, in the loss. */
export function taskShares({ method, alpha }: Pick<CotDistillationOptions, 'method' | 'alpha'>): { readonly answers: number; readonly reasons: number } {
  if (method === 'label-only') return { answers: 1, reasons: 0 };
  if (method === 'fine-tune-cot') return { answers: 0, reasons: 1 };
  return { answers: alpha, reasons: 1 - alpha };
}

/** Whether a teacher is asked: for reasons, or for answers, which its reasons come to. */
export function asksTeacher(options: Pick<CotDistillationOptions, 'method' | 'alpha' | 'labels' | 'rationales'>): boolean {
  return options.labels === 'teacher' || (options.rationales === 'teacher' && taskShares(options).reasons > 0);
}

/**
 * What the method learns, loss = α · answers + (1 − α) · reasons, each the mean over its own tokens: distilling step-by-step (Hsieh et al., arXiv 2305.02301, §3.2, eq. 3 up to a factor) and MT-CoT
 * (Li et al., arXiv 2210.06726, §3), or one of the two alone.
 */
export function buildTasks(questions: readonly Question[], solved: readonly SolvedQuestion[], options: TaskOptions, tokenizer: Tokenizer, positions: number): Tasks {
  const shares = taskShares(options);
  const labels = questions.flatMap(({ labelPrompt, texts }, index): Lesson[] => {
    const { label } = solved[index]!;
    return label === undefined ? [] : [{ prompt: labelPrompt, response: fillTemplate(options.labelResponse, { ...texts, answer: label.trim() })!, finished: true }];
  });
  const reasons = questions.flatMap((question, index) => solved[index]!.reasons.map((reason): Lesson => ({ ...reasonLesson(question, { ...question.texts, ...reason }, options), finished: true })));
  const [answerTask, reasonTask] = [lessonExamples(tokenizer, shares.answers > 0 ? labels : [], positions), lessonExamples(tokenizer, shares.reasons > 0 ? reasons : [], positions)];
  return {
    answers: shares.answers > 0 ? { examples: answerTask.examples, share: shares.answers } : undefined,
    reasons: shares.reasons > 0 ? { examples: reasonTask.examples, share: shares.reasons } : undefined,
    unfit: answerTask.unfit + reasonTask.unfit,
  };
}

/** Templates were tried when the questions were read. */
function reasonLesson({ labelPrompt, rationalePrompt }: Question, texts: Readonly<Record<string, unknown>>, options: TaskOptions): Pick<Lesson, 'prompt' | 'response'> {
  if (options.method === 'step-by-step') return { prompt: rationalePrompt, response: fillTemplate(options.rationaleResponse, texts)! };
  if (options.method === 'mt-cot' && options.arrangement === 'answer-first') return { prompt: labelPrompt, response: fillTemplate(options.answerFirstResponse, texts)! };
  return { prompt: rationalePrompt, response: fillTemplate(options.chainResponse, texts)! };
}
