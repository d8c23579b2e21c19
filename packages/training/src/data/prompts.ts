import { pareError, type TextSource, type Tokenizer } from '@pare/core';
import { encodeContinuations, fillTemplate, readPromptItems } from '@pare/model';
import { promptExample, type TrainingExample } from './windows.js';

/** How tokens are made of items. */
export interface PromptOptions {
  /** `{name}` stands for a text of the item; items without these texts use their `query`, `ctx` or `prompt`. */
  readonly promptTemplate: string;
  /** What is to follow the prompt; items without these texts use their `response`, `completion` or `output`. */
  readonly responseTemplate: string;
  /** Items to read; 0 for all, the default. */
  readonly count?: number | undefined;
  /** `optional` for methods that can do with prompts alone; `required` by default. */
  readonly response?: 'required' | 'optional' | undefined;
  /** Tokens that prompt and response may have together: the model's positions, or fewer. */
  readonly positions: number;
  /** Tokens that have to find room behind a prompt besides its own response: those that will be drawn. */
  readonly maxNewTokens?: number | undefined;
}

/** A prompt and what may follow it. */
export interface PromptPair {
  /** Of the file, from 1. */
  readonly line: number;
  readonly prompt: Int32Array;
  /** With the end-of-text token, where the tokenizer has one: how a model learns to stop. Undefined where the item has none. */
  readonly response: Int32Array | undefined;
}

/**
 * Reads prompts and responses from JSON lines. A response has the tokens that it adds to its prompt's, as in the evaluation of choices: what is learnt is what is asked.
 * @throws PARE_ITEM_INVALID naming the line, also for a prompt or a response without tokens; PARE_PROMPT_TOO_LONG
 */
export async function readPromptPairs(source: TextSource, tokenizer: Tokenizer, options: PromptOptions): Promise<PromptPair[]> {
  const { promptTemplate, responseTemplate, count = 0, response: wanted = 'required', positions, maxNewTokens = 0 } = options;
  const end = tokenizer.eosToken === undefined ? [] : [tokenizer.eosToken];
  return (await readPromptItems(source, promptTemplate, count)).map(({ line, fields, prompt: text, refuse }) => {
    const answer = responseOf(fields, responseTemplate);
    if (answer === undefined && wanted === 'required') refuse(`it has no text for the response "${responseTemplate}", and no "response", "completion" or "output"`);
    const prompt = tokenizer.encode(text.trimEnd());
    let pair: PromptPair = { line, prompt, response: undefined };
    if (answer !== undefined) {
      const [encoded] = encodeContinuations(tokenizer, text, [answer], { maxPositions: Infinity, addBos: false });
      if (typeof encoded !== 'object') return refuse(encoded === 0 ? 'its response is empty' : 'its prompt is empty');
      const { ids, start } = encoded;
      pair = { line, prompt: ids.slice(0, start), response: Int32Array.from([...ids.subarray(start), ...end]) };
    }
    if (pair.prompt.length === 0) refuse('its prompt is empty');
    // Nothing is predicted from the last token.
    const room = Math.max(maxNewTokens, pair.response?.length ?? 0);
    if (pair.prompt.length + room - 1 > positions) throw pareError('PARE_PROMPT_TOO_LONG', { file: source.name, line, tokens: pair.prompt.length, response: room, positions });
    return pair;
  });
}

/** What an item has behind its prompt: the template with its texts, or its `response`, `completion` or `output`; undefined when it has none of these. */
export function responseOf(fields: Readonly<Record<string, unknown>>, template: string): string | undefined {
  const filled = fillTemplate(template, fields);
  if (filled !== undefined) return filled;
  const whole = [fields['response'], fields['completion'], fields['output']].find((value) => typeof value === 'string');
  // As behind the "Answer:" of a template.
  return whole === undefined ? undefined : ` ${whole}`;
}

/** The pairs that have a response as texts to learn, responses alone to be predicted. */
export function pairExamples(pairs: readonly PromptPair[]): TrainingExample[] {
  return pairs.flatMap(({ prompt, response }) => (response === undefined ? [] : [promptExample(prompt, response)]));
}
