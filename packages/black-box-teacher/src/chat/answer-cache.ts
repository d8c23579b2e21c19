import { systemErrorCode, type FileSystem } from '@pare/core';
import { sha256, writeShared } from '@pare/platform';
import type { TeacherAnswer } from '../teacher.js';

/** Where answers are kept. */
export interface AnswerCacheOptions {
  readonly files: FileSystem;
  readonly folder: string;
  readonly warn: (message: string) => void;
}

/**
 * Answers by the hash of what was asked, one file each. Files appear under their names when they are complete, so any number of runs may share a folder; one that does not fit its own hash counts
 * as absent.
 */
export class AnswerCache {
  readonly #options: AnswerCacheOptions;
  #warned = false;

  constructor(options: AnswerCacheOptions) {
    this.#options = options;
  }

  async read(key: string): Promise<readonly TeacherAnswer[] | undefined> {
    const file = this.#file(key);
    let text: string;
    try {
      text = await this.#options.files.readText(file);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') this.#warn(`cannot read the kept answer ${file}: ${(error as Error).message}`);
      return undefined;
    }
    const body = text.slice(hashLength + 1);
    if (text.slice(0, hashLength) === sha256(body)) return JSON.parse(body) as readonly TeacherAnswer[];
    this.#warn(`the kept answer ${file} is damaged; it is asked for again`);
    return undefined;
  }

  async write(key: string, answers: readonly TeacherAnswer[]): Promise<void> {
    const body = JSON.stringify(answers);
    try {
      await writeShared(this.#options.files, this.#file(key), `${sha256(body)} ${body}`);
    } catch (error) {
      this.#warn(`answers cannot be kept in ${this.#options.folder}, another run will ask again: ${(error as Error).message}`);
    }
  }

  #file(key: string): string {
    return this.#options.files.path.join(this.#options.folder, key.slice(0, 2), `${key.slice(2)}.json`);
  }

  /** Once: the next thousand would say the same. */
  #warn(message: string): void {
    if (!this.#warned) this.#options.warn(message);
    this.#warned = true;
  }
}

/** Hexadecimal digits of a SHA-256. */
const hashLength = 64;
