import { requireRoom } from '@pare/black-box-teacher';
import type { TextSource, Tokenizer } from '@pare/core';
import { fillTemplate, readPromptItems } from '@pare/model';
import type { CotDistillationOptions } from './options.js';
import { asksTeacher } from './tasks.js';

/** An item of the file. */
export interface Question {
  /** Counted from 1. */
  readonly line: number;
  /** The item's texts, for templates. */
  readonly texts: Readonly<Record<string, unknown>>;
  /** The file's answer; undefined where it has none and none is needed. */
  readonly answer: string | undefined;
  /** The file's reason, which may be empty. */
  readonly rationale: string;
  readonly labelPrompt: string;
  readonly rationalePrompt: string;
  readonly teacherPrompt: string;
  /** Throws PARE_ITEM_INVALID with the item's file and line. */
  refuse(problem: string): never;
}

/** What of the options decides which texts an item needs. */
type Needs = Pick<CotDistillationOptions, 'method' | 'labels' | 'answerFilter' | 'rationales' | 'rationaleField' | 'answerField' | 'labelPrompt' | 'rationalePrompt' | 'teacherPrompt' | 'demonstrations' | 'questions' | 'alpha' | (typeof laterTemplates)[number]>;

/** Templates that are filled later, with an answer, and some with a reason. */
const laterTemplates = ['labelResponse', 'hintPrompt', 'rationaleResponse', 'chainResponse', 'answerFirstResponse'] as const;
const withReason: ReadonlySet<string> = new Set(laterTemplates.slice(2));

/**
 * Reads the questions.
 * @throws PARE_ITEM_INVALID for items that lack a text, PARE_PROMPT_TOO_LONG for those that leave no room for an answer
 */
export async function readQuestions(source: TextSource, tokenizer: Tokenizer, options: Needs, positions: number): Promise<Question[]> {
  const { rationaleField, answerField, labels, answerFilter, rationales, method } = options;
  const answerNeeded = labels === 'file' || (answerFilter && rationales === 'teacher' && method !== 'label-only');
  const items = await readPromptItems(source, options.labelPrompt, options.questions);
  const questions = items.map(({ line, fields, prompt, refuse }): Question => {
    const answer = fields[answerField];
    if (typeof answer !== 'string' || answer.trim() === '') {
      if (answerNeeded) refuse(`it has no "${answerField}" text; name the field with answerField${labels === 'file' ? '' : ', or do without with answerFilter: false'}`);
    }
    const rationale = fields[rationaleField];
    const make = (template: string, name: string, texts = fields): string => fillTemplate(template, texts) ?? refuse(`it lacks a text for ${name}, "${template}"`);
    // What they lack would show after a teacher was asked and paid.
    for (const name of laterTemplates) if (options[name] !== undefined) make(options[name], name, { ...fields, answer: '', ...(withReason.has(name) ? { rationale: '' } : {}) });
    return {
      line,
      texts: fields,
      answer: typeof answer === 'string' ? answer : undefined,
      rationale: typeof rationale === 'string' ? rationale : '',
      labelPrompt: prompt,
      rationalePrompt: method === 'label-only' ? '' : make(options.rationalePrompt, 'rationalePrompt'),
      teacherPrompt: asksTeacher(options) ? options.demonstrations + make(options.teacherPrompt, 'teacherPrompt') : '',
      refuse,
    };
  });
  const room = { file: source.name, positions };
  requireRoom(tokenizer, questions.map(({ line, labelPrompt }) => ({ line, prompt: labelPrompt })), room);
  if (method !== 'label-only') requireRoom(tokenizer, questions.map(({ line, rationalePrompt }) => ({ line, prompt: rationalePrompt })), room);
  return questions;
}
