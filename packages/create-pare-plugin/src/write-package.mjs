import { pareError } from '@pare/core';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/**
 * The folder of a new package, absolute: one that is not there, or is empty.
 * @param {string} folder
 * @param {string} cwd
 * @throws PARE_COMMAND_INVALID
 */
export function checkFolder(folder, cwd) {
  const path = resolve(cwd, folder);
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return path;
  if (!status.isDirectory()) throw pareError('PARE_COMMAND_INVALID', { problem: `${path} is a file`, help: 'Name a folder that does not exist, or an empty one.' });
  // A new repository is empty, too.
  const entries = readdirSync(path).filter((entry) => entry !== '.git');
  if (entries.length > 0) {
    const shown = entries.slice(0, 3).join(', ') + (entries.length > 3 ? ` and ${String(entries.length - 3)} more` : '');
    throw pareError('PARE_COMMAND_INVALID', { problem: `${path} is not empty: it holds ${shown}`, help: 'Nothing was written. Name a folder that does not exist, or an empty one.' });
  }
  return path;
}

/**
 * @param {string} folder
 * @param {ReadonlyMap<string, string>} files
 */
export function writePackage(folder, files) {
  for (const [path, text] of files) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { flag: 'wx' });
  }
}
