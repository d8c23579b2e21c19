import { pareError } from '@pare/core';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { readManifest } from './package-manifest.js';

/**
 * What npm is to install: files and folders by their absolute path, everything else (`name`, `name@1.2`, addresses) as it was given.
 * @throws PARE_PLUGIN_INSTALL_FAILED when a path leads to nothing that can be installed
 */
export async function resolveSpec(spec: string, cwd: string): Promise<string> {
  const isPath = /^(\.{1,2}|~)?[\\/]|^\.{1,2}$|^[a-z]:[\\/]|\.(tgz|tar|tar\.gz)$/i.test(spec) && !/^[a-z+]{2,}:/i.test(spec);
  if (!isPath) {
    if (spec === '' || spec.startsWith('-') || /\s/.test(spec)) throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: `"${spec}"`, reason: 'that is no package name and no path' });
    return spec;
  }
  const path = resolve(cwd, spec.startsWith('~') ? join(homedir(), spec.slice(1)) : spec);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: spec, reason: `there is no file or folder ${path}` });
  if (found.isDirectory() && (await readManifest(path)) === undefined) throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: spec, reason: `${path} has no package.json that can be read` });
  return path;
}
