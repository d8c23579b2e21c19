import { pareError, pluginTags, type PluginKind } from '@pare/core';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { ScannedPlugin } from './host-types.js';

/**
 * Lists the dependencies of the project in `cwd` (its package.json, no deeper) that say they are plugins: `"pare": { "kind": "technique", "api": 1 }`.
 * Only package.json files are read; nothing is imported or executed.
 * @throws PARE_FILE_UNREADABLE when the folder has no readable package.json
 */
export async function scanPlugins(cwd: string): Promise<readonly ScannedPlugin[]> {
  const file = join(cwd, 'package.json');
  let host: Record<string, unknown>;
  try {
    host = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: error instanceof Error ? error.message : String(error) }, error);
  }
  const names = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((key) => Object.keys((host[key] ?? {}) as Record<string, unknown>));
  const found = await Promise.all([...new Set(names)].sort().map((name) => readPlugin(name, cwd)));
  return found.filter((plugin) => plugin !== undefined);
}

async function readPlugin(name: string, cwd: string): Promise<ScannedPlugin | undefined> {
  const content = await readInstalled(name, cwd);
  const field = content?.['pare'];
  if (content === undefined || typeof field !== 'object' || field === null) return undefined;
  const { kind, api } = field as Record<string, unknown>;
  if (typeof kind !== 'string' || !(kind in pluginTags) || typeof api !== 'number') return undefined;
  return {
    package: name,
    version: typeof content['version'] === 'string' ? content['version'] : '',
    kind: kind as PluginKind,
    api,
    configLine: `'${name}', // ${kind}, API ${String(api)}`,
  };
}

/** The package.json of an installed package, looked for as Node does: in node_modules here and in every folder above. */
async function readInstalled(name: string, cwd: string): Promise<Record<string, unknown> | undefined> {
  let folder = resolve(cwd);
  for (;;) {
    try {
      return JSON.parse(await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as Record<string, unknown>;
    } catch {
      // Not installed in this folder, or unreadable there; the next one up may have it.
    }
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}
