import type { Checkpoint, FileSystem } from '@pare/core';
import { exactJson, parseExactJson, sha256 } from '@pare/platform';

/**
 * Finished pieces of one evaluation in a folder, a file each: a hash of the value, and the value. A file appears under its name when it is complete; one that does not fit its hash
 * counts as absent.
 */
export class ProgressJournal implements Checkpoint {
  readonly #files: FileSystem;
  readonly #folder: string;
  readonly #warn: (message: string) => void;
  #writable: boolean;
  #restored = 0;

  private constructor(files: FileSystem, folder: string, writable: boolean, warn: (message: string) => void) {
    this.#files = files;
    this.#folder = folder;
    this.#writable = writable;
    this.#warn = warn;
  }

  static async open(files: FileSystem, folder: string, { resume, warn }: { readonly resume: boolean; readonly warn: (message: string) => void }): Promise<ProgressJournal> {
    try {
      if (!resume) await files.remove(folder);
      await files.makeFolder(folder);
      return new ProgressJournal(files, folder, true, warn);
    } catch (error) {
      warn(`progress cannot be kept in ${folder}: ${(error as Error).message}`);
      return new ProgressJournal(files, folder, false, warn);
    }
  }

  /** Pieces that were not computed but taken from an earlier run. */
  get restored(): number {
    return this.#restored;
  }

  async piece<T>(name: string, work: () => Promise<T>): Promise<T> {
    const file = this.#files.path.join(this.#folder, `${sha256(name).slice(0, 32)}.json`);
    const kept = await this.#read(file);
    if (kept !== undefined) {
      this.#restored++;
      return parseExactJson(kept) as T;
    }
    // What comes back is what a continued run would read, whatever the value was.
    const value = exactJson(await work());
    if (this.#writable) await this.#write(file, value);
    return parseExactJson(value) as T;
  }

  /** The evaluation is finished. */
  async remove(): Promise<void> {
    if (this.#writable) await this.#files.remove(this.#folder);
  }

  async #read(file: string): Promise<string | undefined> {
    const text = this.#writable ? await this.#files.readText(file).catch(() => undefined) : undefined;
    const value = text?.slice(hashLength + 1);
    return value !== undefined && text!.slice(0, hashLength) === sha256(value) ? value : undefined;
  }

  async #write(file: string, value: string): Promise<void> {
    try {
      await this.#files.writeText(`${file}.partial`, `${sha256(value)} ${value}`, { flush: true });
      await this.#files.rename(`${file}.partial`, file);
      await this.#files.flush(this.#folder);
    } catch (error) {
      this.#writable = false;
      this.#warn(`progress cannot be kept in ${this.#folder}: ${(error as Error).message}`);
    }
  }
}

/** Hexadecimal digits of a SHA-256. */
const hashLength = 64;
