import { pareError, pluginTags, type PluginKind } from '@pare/core';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { installedFolder, readManifest, type PackageManifest } from './package-manifest.js';

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
 * Lists the package in `cwd` and its dependencies (of its package.json, no deeper) that say they are plugins: `"pare": { "kind": "technique", "api": 1 }`.
 * Only package.json files are read; nothing is imported or executed.
 * @param bundled packages that an application brings along, whose plugins it has without being told; they are left out
 * @throws PARE_FILE_UNREADABLE when the folder has no readable package.json
 */
export async function scanPlugins(cwd: string, bundled: readonly string[] = []): Promise<readonly ScannedPlugin[]> {
  const file = join(cwd, 'package.json');
  let host: Record<string, unknown>;
  try {
    host = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: error instanceof Error ? error.message : String(error) }, error);
  }
  const names = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((key) => Object.keys((host[key] ?? {}) as Record<string, unknown>));
  const dependencies = [...new Set(names)].filter((name) => !bundled.includes(name)).sort();
  const found = await Promise.all([readManifest(cwd).then(ownPlugin), ...dependencies.map((name) => readPlugin(name, cwd))]);
  return found.filter((plugin) => plugin !== undefined);
}

/** The package that one stands in. Its name means itself where it has `exports`; otherwise its file does. */
function ownPlugin(manifest: PackageManifest | undefined): ScannedPlugin | undefined {
  const plugin = pluginOf(manifest);
  if (plugin === undefined || manifest?.exports !== undefined) return plugin;
  return { ...plugin, configLine: plugin.configLine.replace(plugin.package, `./${(manifest?.main ?? 'index.js').replace(/^\.\//, '')}`) };
}

async function readPlugin(name: string, cwd: string): Promise<ScannedPlugin | undefined> {
  const folder = await installedFolder(name, cwd);
  return folder === undefined ? undefined : pluginOf(await readManifest(folder), name);
}

function pluginOf(manifest: PackageManifest | undefined, name = manifest?.name): ScannedPlugin | undefined {
  const { kind, api } = manifest?.pare ?? {};
  if (manifest === undefined || name === undefined || kind === undefined || !Object.hasOwn(pluginTags, kind) || typeof api !== 'number') return undefined;
  return { package: name, version: manifest.version, kind: kind as PluginKind, api, configLine: `'${name}', // ${kind}, API ${String(api)}` };
}
