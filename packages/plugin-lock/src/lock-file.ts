import { pareError } from '@pare/core';

/** The name that lock files have unless somebody gives another. */
export const lockFileName = 'pare-plugins.lock.json';

/** The format that this version reads and writes. */
export const lockFileVersion = 1;

/** A plugin package as it was when the lock was written. */
export interface LockedPackage {
  readonly version: string;
  /** Kinds and ids of its plugins: `technique "gptq"`. */
  readonly plugins: readonly string[];
  /** `sha256:` and the hash of every file of the package; see `hashFolder`. */
  readonly integrity: string;
  /**
   * Hashes of the packages that it runs with, by `name@version`: its dependencies and theirs. Left out for plugins that an application brought along, whose
   * dependencies are the application's.
   */
  readonly dependencies?: Readonly<Record<string, string>> | undefined;
}

/** A file of plugin names, versions and hashes, by package name. */
export interface PluginLock {
  readonly lockfileVersion: typeof lockFileVersion;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** The lock as a text that differs only where the plugins do. */
export function formatLock(lock: PluginLock): string {
  return `${JSON.stringify(lock, undefined, 2)}\n`;
}

/**
 * Reads a lock file's text.
 * @param file as errors name it
 * @throws PARE_PLUGIN_LOCK_INVALID
 */
export function parseLock(text: string, file: string): PluginLock {
  const invalid = (problem: string, cause?: unknown): Error => pareError('PARE_PLUGIN_LOCK_INVALID', { file, problem }, cause);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw invalid(`no JSON: ${(error as Error).message}`, error);
  }
  if (!isRecord(document)) throw invalid('no object');
  if (document['lockfileVersion'] !== lockFileVersion) {
    throw invalid(`lockfileVersion is ${JSON.stringify(document['lockfileVersion'])}; this host reads version ${String(lockFileVersion)}`);
  }
  const packages = document['packages'];
  if (!isRecord(packages)) throw invalid('packages is no object');
  for (const [name, entry] of Object.entries(packages)) {
    if (!isLockedPackage(entry)) throw invalid(`packages["${name}"] lacks version, plugins or integrity`);
  }
  return document as unknown as PluginLock;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isLockedPackage(entry: unknown): boolean {
  if (!isRecord(entry)) return false;
  const { version, integrity, plugins, dependencies } = entry;
  return (
    typeof version === 'string' &&
    typeof integrity === 'string' &&
    Array.isArray(plugins) &&
    plugins.every((plugin) => typeof plugin === 'string') &&
    (dependencies === undefined || (isRecord(dependencies) && Object.values(dependencies).every((hash) => typeof hash === 'string')))
  );
}
