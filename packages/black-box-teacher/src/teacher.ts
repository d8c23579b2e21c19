/** How a teacher is to answer. */
export interface AnswerSettings {
  /** Answers to each prompt. */
  readonly count: number;
  /** 0 for the likeliest answer; 1 draws from the teacher's own distribution. */
  readonly temperature: number;
  /** Only the likeliest tokens that together reach this probability may be drawn. */
  readonly topP: number;
  /** Longest answer, in the teacher's tokens. */
  readonly maxTokens: number;
  /** Texts that end an answer and are no part of it. */
  readonly stop: readonly string[];
  readonly seed: number;
  /** Texts that a model at hand follows at the same time to find its likeliest answers; 1, the default, draws them. Endpoints cannot. */
  readonly beams?: number | undefined;
}

export interface TeacherAnswer {
  readonly text: string;
  /** True when the teacher came to an end, or to a text that stops it; false when it was cut off. */
  readonly finished: boolean;
}

/** What answering will take, before anything is asked. */
export interface AnswerCost {
  /** Requests that have to be made; for a model at hand, answers to generate. */
  readonly requests: number;
  /** Requests whose answers are kept from before. */
  readonly kept: number;
  /** Tokens of prompts, about. */
  readonly promptTokens: number;
  /** Tokens of answers, at most. */
  readonly answerTokens: number;
  /** Price at most, in the currency of the prices given; undefined without prices. */
  readonly price: number | undefined;
}

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Finished requests or prompts, of all. */
  readonly onProgress?: ((completed: number, total: number) => void) | undefined;
  /** Place of the first prompt among all that are asked in shares: what is drawn depends on places. 0 by default. */
  readonly first?: number | undefined;
}

/** A teacher of which nothing is used but the text it writes: no logits, no weights, and its tokens need not be the student's. */
export interface BlackBoxTeacher extends AsyncDisposable {
  /** For messages. */
  readonly name: string;
  cost(prompts: readonly string[], settings: AnswerSettings): Promise<AnswerCost>;
  /** For each prompt its answers, `count` of them, in an order that the seed decides. */
  answer(prompts: readonly string[], settings: AnswerSettings, options?: AskOptions): Promise<TeacherAnswer[][]>;
}

/** A cost in a sentence, for logs. */
export function costText({ requests, kept, promptTokens, answerTokens, price }: AnswerCost): string {
  const number = (value: number): string => value.toLocaleString('en');
  const parts = [
    `${number(requests)} request${requests === 1 ? '' : 's'}`,
    `about ${number(promptTokens)} tokens of prompts`,
    `at most ${number(answerTokens)} of answers`,
    ...(price === undefined ? [] : [`at most ${price.toFixed(2)} in money`]),
    ...(kept === 0 ? [] : [`${number(kept)} more answered before`]),
  ];
  return parts.join(', ');
}
