import type { Checkpoint } from '@pare/core';
import { mkdir, open, readFile, rm, truncate, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sha256 } from './content-hash.js';
import { exactJson, parseExactJson } from './exact-json.js';

/**
 * Finished pieces of one evaluation in a file, a line each: a hash of the rest, the piece's name, its value. A line that was cut off by an interruption does not fit its hash; it
 * and what follows are dropped.
 */
export class ProgressJournal implements Checkpoint {
  readonly #file: string;
  readonly #pieces: ReadonlyMap<string, string>;
  readonly #warn: (message: string) => void;
  #handle: FileHandle | undefined;
  #opened = false;
  #restored = 0;

  private constructor(file: string, pieces: ReadonlyMap<string, string>, warn: (message: string) => void) {
    this.#file = file;
    this.#pieces = pieces;
    this.#warn = warn;
  }

  static async open(file: string, { resume, warn }: { readonly resume: boolean; readonly warn: (message: string) => void }): Promise<ProgressJournal> {
    const pieces = new Map<string, string>();
    try {
      await mkdir(dirname(file), { recursive: true });
      if (resume) {
        const text = await readFile(file, 'utf8').catch(() => '');
        let end = 0;
        for (let next = text.indexOf('\n'); next >= 0; end = next + 1, next = text.indexOf('\n', end)) {
          const piece = readLine(text.slice(end, next));
          if (piece === undefined) break;
          pieces.set(piece.name, piece.value);
        }
        if (end < text.length) await truncate(file, Buffer.byteLength(text.slice(0, end)));
      } else {
        await rm(file, { force: true });
      }
      const journal = new ProgressJournal(file, pieces, warn);
      journal.#handle = await open(file, 'a');
      journal.#opened = true;
      return journal;
    } catch (error) {
      warn(`progress cannot be kept in ${file}: ${(error as Error).message}`);
      return new ProgressJournal(file, pieces, warn);
    }
  }

  /** Pieces that were not computed but taken from an earlier run. */
  get restored(): number {
    return this.#restored;
  }

  async piece<T>(name: string, work: () => Promise<T>): Promise<T> {
    const kept = this.#pieces.get(name);
    if (kept !== undefined) {
      this.#restored++;
      return parseExactJson(kept) as T;
    }
    // What comes back is what a continued run would read, whatever the value was.
    const value = exactJson(await work());
    await this.#append(name, value);
    return parseExactJson(value) as T;
  }

  async #append(name: string, value: string): Promise<void> {
    try {
      const body = `${JSON.stringify(name)} ${value}`;
      await this.#handle?.appendFile(`${sha256(body).slice(0, hashLength)} ${body}\n`);
      await this.#handle?.sync();
    } catch (error) {
      this.#warn(`progress cannot be kept in ${this.#file}: ${(error as Error).message}`);
      await this.close();
    }
  }

  /** Stops writing; the file stays for a run that goes on. */
  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  /** The evaluation is finished. */
  async remove(): Promise<void> {
    await this.close();
    if (this.#opened) await rm(this.#file, { force: true });
  }
}

const hashLength = 16;

function readLine(line: string): { readonly name: string; readonly value: string } | undefined {
  const body = line.slice(hashLength + 1);
  if (sha256(body).slice(0, hashLength) !== line.slice(0, hashLength)) return undefined;
  const match = /^("(?:[^"\\]|\\.)*") /.exec(body);
  return match === null ? undefined : { name: JSON.parse(match[1]!) as string, value: body.slice(match[0].length) };
}
