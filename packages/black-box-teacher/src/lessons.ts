import { pareError, type Tokenizer } from '@pare/core';
import { encodeContinuations } from '@pare/model';
import { promptExample, type TrainingExample } from '@pare/training';

/** A text that follows a prompt, to be learnt. */
export interface Lesson {
  readonly prompt: string;
  readonly response: string;
  /** False for a text that was cut off: where it stops is no end, and no end is learnt. */
  readonly finished: boolean;
}

/**
 * A lesson as tokens of the model that learns. A response has the tokens that it adds to its prompt's, as in the evaluation of choices, and ends with the end-of-text token.
 * @returns undefined for one that has no tokens, or outgrows the positions
 */
export function lessonExample(tokenizer: Tokenizer, { prompt, response, finished }: Lesson, positions: number): TrainingExample | undefined {
  // Chat endpoints give no space behind "Answer:".
  const spaced = /\s$/.test(prompt) || /^\s/.test(response) ? response : ` ${response}`;
  const [encoded] = encodeContinuations(tokenizer, prompt, [spaced.trimEnd()], { maxPositions: Infinity, addBos: false });
  if (typeof encoded !== 'object') return undefined;
  const { ids, start } = encoded;
  const end = finished && tokenizer.eosToken !== undefined ? [tokenizer.eosToken] : [];
  const example = promptExample(ids.slice(0, start), Int32Array.from([...ids.subarray(start), ...end]));
  return example.ids.length > positions ? undefined : example;
}

/** Lessons as tokens, and how many were left out because they have no tokens or do not fit. */
export function lessonExamples(tokenizer: Tokenizer, lessons: readonly Lesson[], positions: number): { readonly examples: TrainingExample[]; readonly unfit: number } {
  const examples = lessons.map((lesson) => lessonExample(tokenizer, lesson, positions)).filter((example) => example !== undefined);
  return { examples, unfit: lessons.length - examples.length };
}

/** Counts of what was left out, for a log: `3 empty, 1 unfinished`; empty when nothing was. */
export function countsText(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${String(count)} ${name}`)
    .join(', ');
}

/**
 * That prompts leave room for an answer in the model that learns.
 * @throws PARE_PROMPT_TOO_LONG naming the line
 */
export function requireRoom(tokenizer: Tokenizer, prompts: readonly { readonly line: number; readonly prompt: string }[], { file, positions }: { readonly file: string; readonly positions: number }): void {
  for (const { line, prompt } of prompts) {
    const tokens = tokenizer.encode(prompt.trimEnd()).length;
    if (tokens + 1 > positions) throw pareError('PARE_PROMPT_TOO_LONG', { file, line, tokens, response: 1, positions });
  }
}
