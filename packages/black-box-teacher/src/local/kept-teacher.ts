import { sha256 } from '@pare/platform';
import { AnswerCache, type AnswerCacheOptions } from '../chat/answer-cache.js';
import type { AnswerCost, AnswerSettings, AskOptions, BlackBoxTeacher, TeacherAnswer } from '../teacher.js';

export interface KeptTeacherOptions extends AnswerCacheOptions {
  readonly teacher: BlackBoxTeacher;
  /** What the teacher's answers follow from. */
  readonly identity: string;
  /** Answers that are kept together. */
  readonly share: number;
  /** Gives back what the teacher stands on, after the teacher. */
  readonly release: () => PromiseLike<void>;
}

/** A teacher whose answers are kept share by share, as they are written: a run that goes on takes up what there is, and the teacher does the rest. */
export class KeptTeacher implements BlackBoxTeacher {
  readonly name: string;
  readonly #options: KeptTeacherOptions;
  readonly #cache: AnswerCache;

  constructor(options: KeptTeacherOptions) {
    this.name = options.teacher.name;
    this.#options = options;
    this.#cache = new AnswerCache(options);
  }

  cost(prompts: readonly string[], settings: AnswerSettings): Promise<AnswerCost> {
    return this.#options.teacher.cost(prompts, settings);
  }

  async answer(prompts: readonly string[], settings: AnswerSettings, { signal, onProgress }: AskOptions = {}): Promise<TeacherAnswer[][]> {
    const { teacher, identity, share } = this.#options;
    const { count } = settings;
    const length = Math.max(1, Math.floor(share / count));
    const answers: TeacherAnswer[][] = [];
    for (let first = 0; first < prompts.length; first += length) {
      const some = prompts.slice(first, first + length);
      const key = sha256(JSON.stringify([2, identity, first, some, settings]));
      let kept = await this.#cache.read(key);
      if (kept === undefined) {
        kept = (await teacher.answer(some, settings, { signal, first, onProgress: (completed) => onProgress?.(first + completed, prompts.length) })).flat();
        await this.#cache.write(key, kept);
      }
      for (const place of some.keys()) answers.push(kept.slice(place * count, (place + 1) * count));
    }
    return answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.teacher[Symbol.asyncDispose]();
    await this.#options.release();
  }
}
