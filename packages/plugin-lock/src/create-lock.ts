import { pareError, type PluginKind } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { hashFolder } from './hash-folder.js';
import { lockFileVersion, type LockedPackage, type PluginLock } from './lock-file.js';
import { packageDependencies } from './package-dependencies.js';

/** What a lock needs to know of a loaded plugin. */
export interface LockablePlugin {
  readonly id: string;
  readonly kind: PluginKind;
  readonly package: string | undefined;
  readonly version: string | undefined;
  /** Where its package lies; undefined for a plugin that came as a value. */
  readonly folder: string | undefined;
  /** Brought along by an application, with its dependencies. */
  readonly bundled: boolean;
  /** Where it was listed: `plugins[2]`. */
  readonly source: string;
}

/** Plugins of one package, in one folder. */
export interface LockablePackage {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  readonly bundled: boolean;
  readonly plugins: readonly string[];
}

/** The name of a plugin among all kinds. */
export function pluginName({ kind, id }: Pick<LockablePlugin, 'kind' | 'id'>): string {
  return `${kind} "${id}"`;
}

/** Plugins by package, sorted by name, and the plugins that are of no package that can be looked at. */
export function lockablePackages(plugins: readonly LockablePlugin[]): { readonly packages: readonly LockablePackage[]; readonly loose: readonly LockablePlugin[] } {
  const byFolder = new Map<string, LockablePackage & { readonly plugins: string[] }>();
  const loose: LockablePlugin[] = [];
  for (const plugin of plugins) {
    const { package: name, version, folder, bundled } = plugin;
    if (name === undefined || version === undefined || folder === undefined) {
      loose.push(plugin);
      continue;
    }
    const entry = byFolder.get(folder) ?? { name, version, folder, bundled, plugins: [] };
    entry.plugins.push(pluginName(plugin));
    byFolder.set(folder, entry);
  }
  return { packages: [...byFolder.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), loose };
}

/** A package as it is now. */
export async function lockPackage({ version, folder, bundled, plugins }: LockablePackage): Promise<LockedPackage> {
  const entry = { version, plugins: [...plugins].sort(), integrity: await hashFolder(defaultFiles, folder) };
  if (bundled) return entry;
  const dependencies: Record<string, string> = {};
  const found = [...(await packageDependencies(defaultFiles, folder))].sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
  for (const dependency of found) dependencies[`${dependency.name}@${dependency.version}`] = await hashFolder(defaultFiles, dependency.folder);
  return { ...entry, dependencies };
}

/**
 * A lock of the packages of these plugins.
 * @throws PARE_PLUGINS_INVALID with plugins that came as values: they are in no package that could be hashed
 */
export async function createLock(plugins: readonly LockablePlugin[]): Promise<PluginLock> {
  const packages: Record<string, LockedPackage> = {};
  const lockable = lockablePackages(plugins);
  if (lockable.loose.length > 0) {
    const problems = lockable.loose.map((plugin) => ({
      path: plugin.source,
      found: `${pluginName(plugin)}, which came as a value`,
      allowed: 'the name of an installed package, which a lock can hash',
      fix: `List the package of ${pluginName(plugin)} by its name, or take it out.`,
    }));
    throw pareError('PARE_PLUGINS_INVALID', { problems });
  }
  for (const entry of lockable.packages) packages[entry.name] = await lockPackage(entry);
  return { lockfileVersion: lockFileVersion, packages };
}
