import { isPareError, pareError, systemErrorCode, type FileSystem, type PathRules } from '@pare/core';
import { flushTree, isRunning, processId } from '@pare/platform';

/** The file that makes a folder ours. */
export const manifestName = 'pare.json';

export type OutputState = 'absent' | 'empty' | 'ours';

/**
 * What stands at an output path, as far as it may be replaced.
 * @throws PARE_OUTPUT_FOREIGN for a file, a folder with other content, or the model's own folder
 */
export async function inspectOutput(files: FileSystem, output: string, modelDirectory?: string): Promise<OutputState> {
  const foreign = (reason: string): Error => pareError('PARE_OUTPUT_FOREIGN', { output, reason });
  const found = await files.status(output).catch((error: Error) => {
    throw foreign(systemErrorCode(error) === 'ENOTDIR' ? 'a part of the path is a file' : error.message);
  });
  if (found === undefined) return 'absent';
  if (found.kind !== 'folder') throw foreign('it is a file');
  if (modelDirectory !== undefined && isInside(files.path, await files.realPath(modelDirectory), await files.realPath(output))) throw foreign('the model to compress lies in it');
  const names = (await files.list(output)).map(({ name }) => name);
  if (names.length === 0) return 'empty';
  if (!names.includes(manifestName)) throw foreign(`it holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''} and no ${manifestName}`);
  try {
    const manifest = JSON.parse(await files.readText(files.path.join(output, manifestName))) as { pare?: unknown } | null;
    if (typeof manifest?.pare !== 'number') throw foreign(`its ${manifestName} was not written by Pare`);
  } catch (error) {
    if (isPareError(error)) throw error;
    throw foreign(`its ${manifestName} cannot be read`);
  }
  return 'ours';
}

function isInside({ relative, resolve, sep }: PathRules, path: string, folder: string): boolean {
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

/** Names beside the output: what is being written, and what it replaces. */
const besideOutput = (files: FileSystem, output: string, part: 'partial' | 'replaced'): string =>
  files.path.join(files.path.dirname(output), `${files.path.basename(output)}.pare-${part}-${String(processId)}`);

/** Starts an output beside its final place, which `inspectOutput` has looked at. */
export async function createPartialOutput(files: FileSystem, output: string): Promise<PartialOutput> {
  const parent = files.path.dirname(output);
  const directory = besideOutput(files, output, 'partial');
  await files.remove(directory);
  await files.makeFolder(directory);
  let committed = false;
  return {
    directory,
    async commit() {
      await flushTree(files, directory);
      const state = await inspectOutput(files, output);
      if (state === 'empty') await files.removeEmptyFolder(output);
      const retired = besideOutput(files, output, 'replaced');
      if (state === 'ours') {
        await files.remove(retired);
        await files.rename(output, retired);
      }
      await files.rename(directory, output);
      committed = true;
      await files.flush(parent);
      await files.remove(retired);
    },
    async discard() {
      if (!committed) await files.remove(directory);
    },
  };
}

/** Cleans up after runs that were killed: removes what they had begun to write, and puts back an output that was about to be replaced. */
export async function recoverOutput(files: FileSystem, output: string): Promise<void> {
  const { basename, dirname, join } = files.path;
  const parent = dirname(output);
  for (const { name } of await files.list(parent).catch(() => [])) {
    const match = /^(.*)\.pare-(partial|replaced)-(\d+)$/.exec(name);
    if (match === null || match[1] !== basename(output)) continue;
    const owner = Number(match[3]);
    if (owner !== processId && (await isRunning(owner))) continue;
    const path = join(parent, name);
    const restorable = match[2] === 'replaced' && (await files.status(output).catch(() => undefined)) === undefined;
    if (restorable) await files.rename(path, output);
    else await files.remove(path);
  }
}
