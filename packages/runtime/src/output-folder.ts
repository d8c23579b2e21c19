import { isPareError, pareError } from '@pare/core';
import { mkdir, readFile, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { flush, flushTree, isRunning } from './disk.js';

/** The file that makes a folder ours. */
export const manifestName = 'pare.json';

export type OutputState = 'absent' | 'empty' | 'ours';

/**
 * What stands at an output path, as far as it may be replaced.
 * @throws PARE_OUTPUT_FOREIGN for a file, a folder with other content, or the model's own folder
 */
export async function inspectOutput(output: string, modelDirectory?: string): Promise<OutputState> {
  const foreign = (reason: string): Error => pareError('PARE_OUTPUT_FOREIGN', { output, reason });
  const found = await stat(output).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw foreign(error.code === 'ENOTDIR' ? 'a part of the path is a file' : error.message);
  });
  if (found === undefined) return 'absent';
  if (!found.isDirectory()) throw foreign('it is a file');
  if (modelDirectory !== undefined && isInside(await realpath(modelDirectory), await realpath(output))) throw foreign('the model to compress lies in it');
  const names = await readdir(output);
  if (names.length === 0) return 'empty';
  if (!names.includes(manifestName)) throw foreign(`it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''} and no ${manifestName}`);
  try {
    const manifest = JSON.parse(await readFile(join(output, manifestName), 'utf8')) as { pare?: unknown } | null;
    if (typeof manifest?.pare !== 'number') throw foreign(`its ${manifestName} was not written by Pare`);
  } catch (error) {
    if (isPareError(error)) throw error;
    throw foreign(`its ${manifestName} cannot be read`);
  }
  return 'ours';
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path);
}

/** A folder beside the output that becomes the output when everything succeeded. */
export interface PartialOutput {
  readonly directory: string;
  /** Flushes the content to disk and puts the folder in the output's place. */
  commit(): Promise<void>;
  /** Removes the folder; nothing happens after `commit`. */
  discard(): Promise<void>;
}

const partialName = (output: string, process_: number): string => `${basename(output)}.pare-partial-${String(process_)}`;
const retiredName = (output: string, process_: number): string => `${basename(output)}.pare-replaced-${String(process_)}`;

/** Starts an output beside its final place, which `inspectOutput` has looked at. */
export async function createPartialOutput(output: string): Promise<PartialOutput> {
  const parent = dirname(output);
  const directory = join(parent, partialName(output, process.pid));
  await mkdir(parent, { recursive: true });
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
  let committed = false;
  return {
    directory,
    async commit() {
      await flushTree(directory);
      const state = await inspectOutput(output);
      if (state === 'empty') await rmdir(output);
      const retired = join(parent, retiredName(output, process.pid));
      if (state === 'ours') {
        await rm(retired, { recursive: true, force: true });
        await rename(output, retired);
      }
      await rename(directory, output);
      committed = true;
      await flush(parent);
      await rm(retired, { recursive: true, force: true });
    },
    async discard() {
      if (!committed) await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Cleans up after runs that were killed: removes what they had begun to write, and puts back an output that was about to be replaced. */
export async function recoverOutput(output: string): Promise<void> {
  const parent = dirname(output);
  const names = await readdir(parent).catch(() => []);
  for (const name of names) {
    const match = /^(.*)\.pare-(partial|replaced)-(\d+)$/.exec(name);
    if (match === null || match[1] !== basename(output)) continue;
    const owner = Number(match[3]);
    if (owner !== process.pid && isRunning(owner)) continue;
    const path = join(parent, name);
    const restorable = match[2] === 'replaced' && (await stat(output).catch(() => undefined)) === undefined;
    if (restorable) await rename(path, output);
    else await rm(path, { recursive: true, force: true });
  }
}
