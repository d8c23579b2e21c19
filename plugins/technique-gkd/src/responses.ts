import { createRandom } from '@pare/core';
import { type PromptText, type PromptTexts, type ResponseText } from '@pare/distillation';
import { sampleTexts, type TokenGenerator } from '@pare/model';
import { TrainingOrder } from '@pare/training';
import { type GkdOptions } from './options.js';

/** Who writes the responses of a step. */
export type Writer = 'student' | 'teacher' | 'data';

export interface ResponseSourceOptions {
  readonly prompts: PromptTexts;
  readonly options: GkdOptions;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** A model that writes, the student as it is at the time. */
  generator(writer: 'student' | 'teacher'): Promise<TokenGenerator>;
}

/** The texts of each step: prompts in an order that the seed decides, with responses of the student in a share λ of the steps. They follow from the step and the student alone. */
export class ResponseSource {
  readonly #options: ResponseSourceOptions;
  readonly #order: TrainingOrder;

  constructor(options: ResponseSourceOptions) {
    this.#options = options;
    this.#order = new TrainingOrder({ count: options.prompts.texts.length, order: 'shuffled', seed: options.seed });
  }

  /** Whose responses step `step`, from 0, learns from: u ≤ λ for the student's (GKD, algorithm 1). */
  writer(step: number): Writer {
    return this.#chance(step).writer;
  }

  async texts(step: number): Promise<ResponseText[]> {
    const { prompts, options, signal } = this.#options;
    const { writer, seed } = this.#chance(step);
    const chosen = this.#order.slice(step * options.batchSize, options.batchSize).map((index) => prompts.texts[index]!);
    if (writer === 'data') return chosen.map(({ prompt, response }) => ({ prompt, response: response! }));
    const generator = await this.#options.generator(writer);
    const { maxNewTokens, temperature, topK, topP, microBatch } = options;
    const samples = await sampleTexts(generator, { prompts: chosen.map(({ prompt }: PromptText) => prompt), maxNewTokens, temperature, topK, topP, batchSize: microBatch, seed, stopTokens: prompts.stopTokens, signal });
    return chosen.map(({ prompt }, index) => ({ prompt, response: samples[index]!.tokens }));
  }

  #chance(step: number): { readonly writer: Writer; readonly seed: number } {
    const { onPolicyShare, otherResponses } = this.#options.options;
    const random = createRandom(this.#options.seed * 1_000_003 + step);
    return { writer: random() < onPolicyShare ? 'student' : otherResponses, seed: Math.floor(random() * 2 ** 32) };
  }
}
