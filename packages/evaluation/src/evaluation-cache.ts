import { systemErrorCode, type Checkpoint, type FileSystem } from '@pare/core';
import { exactJson, parseExactJson, sha256, writeShared } from '@pare/platform';
import { ProgressJournal } from './progress-journal.js';

/** Everything that a result follows from. */
export interface CacheInputs {
  /** `perplexity`, its code and that of what it runs on (packages, versions, hashes), and its options. */
  readonly evaluator: { readonly id: string; readonly code: string; readonly options: Readonly<Record<string, unknown>> };
  /** Hash of the content of what is evaluated: weights, configuration, tokenizer, and the recipe applied to them. */
  readonly model: string;
  /** The same of the original, for evaluators that compare. */
  readonly original: string | undefined;
  /** Hash of the text or the items. */
  readonly data: string | undefined;
  /** Backend, with its options. */
  readonly computedBy: string;
  readonly seed: number;
}

export interface CachedResult {
  readonly metrics: Readonly<Record<string, number>>;
  readonly details: Readonly<Record<string, unknown>> | undefined;
  /** What measuring took. */
  readonly seconds: number;
}

/** For evaluations whose progress is kept nowhere. */
export const noCheckpoint: Checkpoint = { piece: (_, work) => work() };

/** Days after which the journal of an evaluation or of a recipe that nobody continued is thrown away. */
const journalDays = 30;

/**
 * Results of evaluations by the hash of what they follow from, one file each, and journals of those that are not finished. Files appear under their names when they are complete, so any number of processes may share a
 * folder. Entries that cannot be read are ignored with a warning, and a folder that cannot be written to costs nothing but the reuse.
 */
export class EvaluationCache {
  readonly directory: string;
  readonly #files: FileSystem;
  readonly #warn: (message: string) => void;

  constructor(files: FileSystem, directory: string, warn: (message: string) => void) {
    this.#files = files;
    this.directory = directory;
    this.#warn = warn;
  }

  /** A name for what a result follows from. */
  key(inputs: CacheInputs): string {
    return sha256(exactJson({ version: 1, ...inputs, evaluator: { ...inputs.evaluator, options: sorted(inputs.evaluator.options) } }));
  }

  /** The result of this key, if it was computed before. */
  async read(key: string): Promise<CachedResult | undefined> {
    const file = this.#file(key);
    let text: string;
    try {
      text = await this.#files.readText(file);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') this.#warn(`cannot read the cached result ${file}: ${(error as Error).message}`);
      return undefined;
    }
    try {
      const [head = '', body = ''] = text.split('\n');
      const { pareEvaluation, key: found, sha256: hash } = JSON.parse(head) as { pareEvaluation?: unknown; key?: unknown; sha256?: unknown };
      // One that a later version wrote is none of ours to judge.
      if (typeof pareEvaluation === 'number' && pareEvaluation > entryVersion) return undefined;
      if (pareEvaluation !== entryVersion || found !== key || hash !== sha256(body)) throw new Error('its content is not what was written');
      return parseExactJson(body) as CachedResult;
    } catch (error) {
      this.#warn(`the cached result ${file} is damaged and ignored (${(error as Error).message}); it is measured again`);
      return undefined;
    }
  }

  async write(key: string, result: CachedResult): Promise<void> {
    const file = this.#file(key);
    const body = exactJson(result);
    try {
      await writeShared(this.#files, file, `${JSON.stringify({ pareEvaluation: entryVersion, key, sha256: sha256(body) })}\n${body}\n`);
    } catch (error) {
      this.#warn(`a result could not be kept in ${this.directory}: ${(error as Error).message}`);
    }
  }

  /** The journal of an evaluation. Without `resume` what an earlier run left of it is thrown away. */
  async journal(key: string, resume: boolean): Promise<ProgressJournal> {
    const folder = await this.#removeOld('progress');
    return ProgressJournal.open(this.#files, this.#files.path.join(folder, key), { resume, warn: this.#warn });
  }

  /** Folder for what recipes made of models, as long as it is needed. */
  async recipeFolder(): Promise<string> {
    return this.#removeOld('recipes');
  }

  #file(key: string): string {
    return this.#files.path.join(this.directory, 'results', key.slice(0, 2), `${key.slice(2)}.json`);
  }

  async #removeOld(kind: string): Promise<string> {
    const { join } = this.#files.path;
    const folder = join(this.directory, kind);
    for (const { name } of await this.#files.list(folder).catch(() => [])) {
      const found = await this.#files.status(join(folder, name)).catch(() => undefined);
      if (found !== undefined && Date.now() - found.modified > journalDays * 86_400_000) await this.#files.remove(join(folder, name));
    }
    return folder;
  }
}

const entryVersion = 1;

/** An object with its keys in order, at every depth. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, entry]) => [name, sorted(entry)]),
  );
}
