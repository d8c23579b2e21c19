import type { TeacherAnswer } from '../teacher.js';

/** What a chat endpoint's answer holds for us. */
export interface Completion {
  readonly answers: readonly TeacherAnswer[];
  /** Tokens of prompt and answers together, where it says. */
  readonly tokens: number | undefined;
}

/** What is wrong with an answer, and what was needed. */
export class Nonsense extends Error {
  readonly allowed: string;

  constructor(found: string, allowed: string) {
    super(found);
    this.allowed = allowed;
  }
}

/**
 * Reads the body of a `chat/completions` answer. Texts may be empty: whoever asked knows whether that means anything.
 * @param count answers that were asked for; those beyond are left out
 * @throws Nonsense
 */
export function readCompletion(body: string, count: number): Completion {
  const document = parse(body);
  const { choices, usage, error } = document;
  if (error !== undefined && error !== null) throw new Nonsense(`an error in a good answer: ${excerpt(errorText(error))}`, 'a list "choices"');
  if (!Array.isArray(choices)) throw new Nonsense(`JSON without "choices": ${excerpt(body)}`, 'a list "choices"');
  if (choices.length < count) {
    throw new Nonsense(`${String(choices.length)} choices where ${String(count)} were asked for`, `one choice for each of "n" answers; endpoints that know no "n" need answersPerRequest: 1`);
  }
  const answers = (choices as readonly unknown[]).slice(0, count).map((choice, index): TeacherAnswer => {
    const { message, finish_reason: reason } = fieldsOf(choice);
    const { content } = fieldsOf(message);
    if (typeof content !== 'string' && content !== null) throw new Nonsense(`a choice ${String(index)} without text: ${excerpt(JSON.stringify(choice))}`, 'choices[].message.content, a text');
    return { text: content ?? '', finished: reason === 'stop' || reason === undefined || reason === null };
  });
  const tokens = fieldsOf(usage)['total_tokens'];
  return { answers, tokens: typeof tokens === 'number' && Number.isFinite(tokens) ? tokens : undefined };
}

function parse(body: string): Readonly<Record<string, unknown>> {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    throw new Nonsense(body === '' ? 'an empty body' : `something that is not JSON: ${excerpt(body)}`, 'a JSON object');
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw new Nonsense(`JSON that is no object: ${excerpt(body)}`, 'a JSON object');
  return document as Readonly<Record<string, unknown>>;
}

/** What an error document says: OpenAI's `{ error: { message } }`, others' `{ message }` or `{ detail }`, or the text itself. */
export function errorText(body: unknown): string {
  if (typeof body !== 'string') {
    const { error, message, detail } = fieldsOf(body);
    if (error !== undefined) return errorText(error);
    if (typeof message === 'string') return message;
    return typeof detail === 'string' ? detail : JSON.stringify(body);
  }
  try {
    const document: unknown = JSON.parse(body);
    return typeof document === 'object' && document !== null ? errorText(document) : body;
  } catch {
    return body;
  }
}

/** The beginning of a text on one line. */
export function excerpt(text: string, length = 200): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
