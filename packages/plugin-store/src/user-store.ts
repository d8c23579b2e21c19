import { systemErrorCode } from '@pare/core';
import type { PluginReference } from '@pare/runtime';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { findNpm } from './npm.js';
import { resolveSpec } from './plugin-spec.js';
import type { ProbedPlugin } from './probe-protocol.js';
import { notInstalled, stagePlugin, type TakenPlugin } from './stage.js';

/** A plugin package that is installed, with what it was found to hold. */
export interface InstalledPlugin {
  readonly package: string;
  readonly version: string;
  readonly plugins: readonly Pick<ProbedPlugin, 'kind' | 'id'>[];
  /** How a host loads it. */
  readonly reference: PluginReference;
}

/** What installing told. */
export interface Installation extends InstalledPlugin {
  /** Version that was there before. */
  readonly replaced: string | undefined;
  readonly notes: readonly string[];
}

export interface InstallOptions {
  /** A package name with or without `@version`, a folder, or a tarball. */
  readonly spec: string;
  /** Folder that relative paths start from. */
  readonly cwd: string;
  /** Plugins that are there already, whose ids are taken. */
  readonly taken: readonly TakenPlugin[];
  /** Seconds that the plugin may take to load, 30 by default. */
  readonly seconds?: number | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where a plugin's folder says what is in it. */
const recordName = 'pare-plugin.json';

/** The folder of a package: names with a scope hold a slash. */
const folderName = (name: string): string => name.replace('/', '+');

/**
 * Plugins of a user, each in a folder of its own with its own `node_modules`: two that need different versions of a library get both. Host packages that they name as peers are
 * links to the host's own.
 */
export class UserStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = resolve(folder);
  }

  /** What is installed, by name. Reads records only; nothing is loaded. */
  async list(): Promise<readonly InstalledPlugin[]> {
    const found = await Promise.all((await this.#names()).map((name) => this.#read(join(this.folder, name))));
    return found.filter((plugin) => plugin !== undefined).sort((a, b) => (a.package < b.package ? -1 : 1));
  }

  /**
   * Installs a plugin, or another version of it in the place of the one that is there. Checked and tried out before anybody sees it; when anything is wrong, the store is as it was.
   * @throws PARE_NPM_MISSING, PARE_PLUGIN_INSTALL_FAILED, PARE_PLUGINS_INVALID, PARE_ABORTED
   */
  async install({ spec, cwd, taken, seconds = 30, env, signal }: InstallOptions): Promise<Installation> {
    const npm = await findNpm('pare plugins install', env);
    const installed = await this.list();
    const others = installed.flatMap((plugin) => plugin.plugins.map(({ kind, id }) => ({ kind, id, package: plugin.package })));
    await using stage = await stagePlugin({ spec, source: await resolveSpec(spec, cwd), parent: this.folder, npm, taken: [...taken, ...others], seconds, env, signal });
    const { name, version } = stage.manifest;
    const plugins = stage.plugins.map(({ kind, id }) => ({ kind, id }));
    await writeFile(join(stage.folder, recordName), `${JSON.stringify({ package: name, version, plugins }, undefined, 2)}\n`);

    const place = join(this.folder, folderName(name));
    const before = installed.find((plugin) => plugin.package === name);
    // Whatever lies there, also what list() does not take for a plugin.
    const old = await this.#moveAside(folderName(name), 'replaced');
    try {
      await rename(stage.folder, place);
    } catch (error) {
      if (old !== undefined) await rename(old, place);
      throw error;
    }
    if (old !== undefined) await rm(old, { recursive: true, force: true });
    return { package: name, version, plugins, reference: this.#reference(name), replaced: before?.version, notes: stage.notes };
  }

  /**
   * Removes a plugin by its package or its id, or what is left of one whose folder is damaged, by its package.
   * @throws PARE_PLUGIN_NOT_INSTALLED
   */
  async remove(name: string): Promise<InstalledPlugin> {
    const installed = await this.list();
    const found = installed.find((plugin) => plugin.package === name || plugin.plugins.some(({ id }) => id === name)) ?? (await this.#damaged(name));
    const old = found === undefined ? undefined : await this.#moveAside(folderName(found.package), 'removed');
    if (found === undefined || old === undefined) throw notInstalled(name, this.folder, installed.map((plugin) => plugin.package));
    await rm(old, { recursive: true, force: true });
    return found;
  }

  /** A folder of the store that holds no plugin which can be listed. */
  async #damaged(name: string): Promise<InstalledPlugin | undefined> {
    if (name.startsWith('.') || !(await this.#names()).includes(folderName(name))) return undefined;
    return { package: name, version: '', plugins: [], reference: this.#reference(name) };
  }

  /** Names of everything that lies in the store, without what is on its way in or out. */
  async #names(): Promise<readonly string[]> {
    return (await readdir(this.folder).catch(() => [])).filter((name) => !name.startsWith('.'));
  }

  /** Takes a folder out of the store in one step. Returns where it is now, or undefined when there was none. */
  async #moveAside(name: string, why: string): Promise<string | undefined> {
    const aside = join(this.folder, `.${why}-${name}-${String(process.pid)}`);
    await rm(aside, { recursive: true, force: true });
    try {
      await rename(join(this.folder, name), aside);
      return aside;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #reference(name: string): PluginReference {
    return { package: name, from: join(this.folder, folderName(name)), optional: true };
  }

  async #read(folder: string): Promise<InstalledPlugin | undefined> {
    try {
      const record = JSON.parse(await readFile(join(folder, recordName), 'utf8')) as Omit<InstalledPlugin, 'reference'>;
      if (folderName(record.package) !== basename(folder) || !Array.isArray(record.plugins)) return undefined;
      return { ...record, reference: this.#reference(record.package) };
    } catch {
      return undefined;
    }
  }
}
