import type { Lesson, TeacherAnswer } from '@pare/black-box-teacher';
import { rougeL } from './rouge-l.js';

/** A prompt with what a teacher said to it. */
export interface AnsweredPrompt {
  readonly prompt: string;
  readonly answers: readonly TeacherAnswer[];
  /** The file's own answer, for `nearest`. */
  readonly label: string | undefined;
}

export interface ChoiceOptions {
  readonly select: 'all' | 'nearest';
  readonly unfinished: 'drop' | 'keep';
  readonly similarity: number;
}

/** How many answers were left out, and why. */
export interface LeftOut {
  readonly empty: number;
  readonly unfinished: number;
  readonly repeated: number;
  /** Of `nearest`: those that another is nearer than. */
  readonly farther: number;
}

/**
 * What of a teacher's answers is learnt. Filters come first: empty texts, texts that were cut off, near-duplicates within a prompt; then the choice (Kim and Rush, arXiv 1606.07947: all
 * of §3.2, or the hypothesis most similar to the gold answer of §3.3).
 */
export function chooseAnswers(prompts: readonly AnsweredPrompt[], { select, unfinished, similarity }: ChoiceOptions): { readonly lessons: Lesson[]; readonly leftOut: LeftOut } {
  const leftOut = { empty: 0, unfinished: 0, repeated: 0, farther: 0 };
  const lessons = prompts.flatMap(({ prompt, answers, label }) => {
    const kept: TeacherAnswer[] = [];
    for (const answer of answers) {
      if (answer.text.trim() === '') leftOut.empty++;
      else if (!answer.finished && unfinished === 'drop') leftOut.unfinished++;
      else if (kept.some(({ text }) => text.trim() === answer.text.trim() || (similarity < 1 && rougeL(text, answer.text) >= similarity))) leftOut.repeated++;
      else kept.push(answer);
    }
    if (select === 'nearest' && kept.length > 1) {
      const scores = kept.map(({ text }) => rougeL(text, label ?? ''));
      leftOut.farther += kept.length - 1;
      return [lesson(prompt, kept[scores.indexOf(Math.max(...scores))]!)];
    }
    return kept.map((answer) => lesson(prompt, answer));
  });
  return { lessons, leftOut };
}

function lesson(prompt: string, { text, finished }: TeacherAnswer): Lesson {
  return { prompt, response: text, finished };
}
