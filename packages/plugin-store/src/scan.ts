import { pareError, pluginTags, type PluginKind } from '@pare/core';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { installedFolder, readManifest } from './package-manifest.js';

/** Where an installed package says it is a plugin. */
export interface ScannedPlugin {
  readonly package: string;
  readonly version: string;
  readonly kind: PluginKind;
  readonly api: number;
  /** A line for the `plugins` list of `pare.config.ts`. */
  readonly configLine: string;
}

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
  const folder = await installedFolder(name, cwd);
  const manifest = folder === undefined ? undefined : await readManifest(folder);
  const { kind, api } = manifest?.pare ?? {};
  if (manifest === undefined || kind === undefined || !Object.hasOwn(pluginTags, kind) || typeof api !== 'number') return undefined;
  return { package: name, version: manifest.version, kind: kind as PluginKind, api, configLine: `'${name}', // ${kind}, API ${String(api)}` };
}
