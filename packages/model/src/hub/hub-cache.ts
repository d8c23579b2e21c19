import { copyFile, link, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative } from 'node:path';

/** The cache that all Hugging Face libraries share, by their environment variables. */
export function defaultCacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment;
  return HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(HF_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'), 'hub');
}

/**
 * One model in the cache, laid out as the Python library does it: `blobs/<hash>` holds contents, `snapshots/<commit>/<file>` links to
 * them, `refs/<revision>` names a commit. What Python has downloaded is found here and the other way round.
 */
export class HubCache {
  readonly #folder: string;

  constructor(cacheDirectory: string, model: string) {
    this.#folder = join(cacheDirectory, `models--${model.replaceAll('/', '--')}`);
  }

  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  blob(hash: string): string {
    return join(this.#folder, 'blobs', hash);
  }

  /** True when a snapshot has a file of this size. */
  async has(commit: string, path: string, bytes: number): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), path))) === bytes;
  }

  /** Makes a blob a file of a snapshot. */
  async place(commit: string, path: string, hash: string): Promise<void> {
    const target = join(this.snapshot(commit), path);
    const source = this.blob(hash);
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { force: true });
    try {
      await symlink(relative(dirname(target), source), target);
    } catch {
      // Windows allows links to developers only; a copy on another disk is the last resort.
      await link(source, target).catch(() => copyFile(source, target));
    }
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    const path = join(this.#folder, 'refs', revision);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, commit);
  }

  /** The folder that a finished download left for this revision. */
  async finished(revision: string): Promise<string | undefined> {
    const commit = await readFile(join(this.#folder, 'refs', revision), 'utf8').catch(() => undefined);
    if (commit === undefined) return undefined;
    const folder = this.snapshot(commit.trim());
    return (await sizeOf(join(folder, 'config.json'))) === undefined ? undefined : folder;
  }
}

/** Bytes of a file, links followed; undefined when it is not there. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (status) => (status.isFile() ? status.size : undefined),
    () => undefined,
  );
}
