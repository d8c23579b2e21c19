import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Compiled kernels on disk, by what they were compiled from. A folder that cannot be written costs time only. */
export class ModuleCache {
  readonly #folder: string | undefined;

  /** @param folder where files go; undefined to keep nothing */
  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** Identifies a compilation: compiler, options (the architecture among them) and text. */
  static key(compiler: string, options: readonly string[], code: string): string {
    return createHash('sha256').update(JSON.stringify([compiler, options, code])).digest('hex');
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    if (this.#folder === undefined) return undefined;
    return readFile(this.#path(this.#folder, key)).catch(() => undefined);
  }

  /** Others see the whole file or none. */
  async write(key: string, code: Uint8Array): Promise<void> {
    if (this.#folder === undefined) return;
    const path = this.#path(this.#folder, key);
    const part = `${path}.${randomUUID()}`;
    try {
      await mkdir(join(this.#folder, key.slice(0, 2)), { recursive: true });
      await writeFile(part, code);
      await rename(part, path);
    } catch {
      await rm(part, { force: true }).catch(() => undefined);
    }
  }

  /** Forgets a file that turned out to be damaged. */
  async remove(key: string): Promise<void> {
    if (this.#folder !== undefined) await rm(this.#path(this.#folder, key), { force: true }).catch(() => undefined);
  }

  #path(folder: string, key: string): string {
    return join(folder, key.slice(0, 2), `${key}.cubin`);
  }
}

/** Where compiled kernels are kept: a folder of the user's cache. */
export function defaultCacheFolder(environment: Readonly<Record<string, string | undefined>>, platform: string): string {
  const base = platform === 'win32' ? environment['LOCALAPPDATA'] : environment['XDG_CACHE_HOME'];
  return join(base ?? join(homedir(), '.cache'), 'pare', 'cuda');
}
