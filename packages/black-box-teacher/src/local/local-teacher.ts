import { createRandom, pareError, type Backend, type Model, type Tokenizer } from '@pare/core';
import { pickToken, searchBeams, TokenGenerator } from '@pare/model';
import type { AnswerCost, AskOptions, AnswerSettings, BlackBoxTeacher, TeacherAnswer } from '../teacher.js';

export interface LocalTeacherOptions {
  readonly model: Model;
  /** The teacher's own. */
  readonly tokenizer: Tokenizer;
  readonly backend: Backend;
  /** Answers that are written together; 64 by default. */
  readonly batchSize?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A model at hand that continues prompts. Answers follow from the seed, the place of the prompt and the number of the answer alone, not from what is written together. Weights go to the device
 * with the first prompt.
 */
export class LocalTeacher implements BlackBoxTeacher {
  readonly name: string;
  readonly #options: LocalTeacherOptions;
  #generator: TokenGenerator | undefined;

  constructor(options: LocalTeacherOptions) {
    this.name = options.model.name;
    this.#options = options;
  }

  /** @throws PARE_WINDOW_TOO_LONG naming the prompt */
  async cost(prompts: readonly string[], { count, maxTokens }: AnswerSettings): Promise<AnswerCost> {
    const requests = prompts.length * count;
    const promptTokens = count * prompts.reduce((sum, prompt) => sum + this.#encode(prompt, maxTokens).length, 0);
    return await Promise.resolve({ requests, kept: 0, promptTokens, answerTokens: requests * maxTokens, price: undefined });
  }

  /** @throws PARE_WINDOW_TOO_LONG naming the prompt, PARE_ABORTED */
  async answer(prompts: readonly string[], settings: AnswerSettings, { signal, onProgress, first = 0 }: AskOptions = {}): Promise<TeacherAnswer[][]> {
    const { count, temperature, topP, maxTokens, stop, seed, beams = 1 } = settings;
    const { tokenizer } = this.#options;
    const encoded = prompts.map((prompt) => this.#encode(prompt, maxTokens));
    const end = new StopTexts(tokenizer, stop);
    const done = (tokens: readonly number[]): boolean => tokens.at(-1) === tokenizer.eosToken || end.reached(tokens);
    const { batchSize = 64 } = this.#options;
    const generator = (this.#generator ??= await TokenGenerator.create(this.#options));
    if (beams > 1) {
      const found = await searchBeams(generator, { prompts: encoded, maxNewTokens: maxTokens, beams, count, done, batchSize, signal, onProgress });
      return found.map((texts) => texts.map(({ tokens }) => end.answer(tokens)));
    }
    const copies = encoded.flatMap((ids) => Array.from({ length: count }, () => ids));
    const randoms = copies.map((_, copy) => createRandom(seed * 1_000_003 + first * count + copy));
    const drawn = await generator.generate({
      prompts: copies,
      maxNewTokens: maxTokens,
      batchSize,
      signal,
      pick: (logits, copy) => pickToken(logits, { temperature, topK: 0, topP }, randoms[copy]!),
      done,
      onProgress: (completed) => onProgress?.(Math.floor(completed / count), prompts.length),
    });
    const answers = drawn.map((tokens) => end.answer(tokens));
    return prompts.map((_, prompt) => answers.slice(prompt * count, (prompt + 1) * count));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#generator?.[Symbol.asyncDispose]();
  }

  #encode(prompt: string, maxTokens: number): Int32Array {
    const { tokenizer, model } = this.#options;
    // White space at the end belongs to the word that follows.
    const ids = tokenizer.encode(prompt.trimEnd());
    const first = tokenizer.bosToken ?? tokenizer.eosToken;
    const tokens = ids.length === 0 && first !== undefined ? Int32Array.of(first) : ids;
    const length = tokens.length + maxTokens - 1;
    const positions = model.description.maxPositions;
    if (length > positions) {
      const fix = `The prompt that begins "${prompt.trim().slice(0, 60)}" has ${String(tokens.length)} tokens and ${this.name} may answer with ${String(maxTokens)}: shorten it, lower maxNewTokens, or leave it out.`;
      throw pareError('PARE_WINDOW_TOO_LONG', { length, positions, fix });
    }
    return tokens;
  }
}

/** Texts that end an answer, among tokens that may hold only a part of them. */
class StopTexts {
  readonly #tokenizer: Tokenizer;
  readonly #texts: readonly string[];
  readonly #longest: number;

  constructor(tokenizer: Tokenizer, texts: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#texts = texts;
    this.#longest = Math.max(0, ...texts.map(({ length }) => length));
  }

  reached(tokens: readonly number[]): boolean {
    if (this.#texts.length === 0) return false;
    // A token may hold more than the stop's beginning, and less than a character.
    const text = this.#tokenizer.decode(tokens.slice(-(this.#longest + 4)), { skipSpecialTokens: true });
    return this.#texts.some((stop) => text.includes(stop));
  }

  answer(tokens: readonly number[]): TeacherAnswer {
    const ended = tokens.at(-1) === this.#tokenizer.eosToken;
    const text = this.#tokenizer.decode(ended ? tokens.slice(0, -1) : [...tokens], { skipSpecialTokens: true });
    const ends = this.#texts.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    return ends.length === 0 ? { text, finished: ended } : { text: text.slice(0, Math.min(...ends)), finished: true };
  }
}
