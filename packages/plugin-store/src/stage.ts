import { nearest, pareError } from '@pare/core';
import type { PluginProblem } from '@pare/runtime';
import { mkdir, mkdtemp, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hostPackage } from './host-packages.js';
import { NpmError, runNpm, type Npm } from './npm.js';
import { packageProblems } from './package-checks.js';
import { installedFolder, readManifest, type PackageManifest } from './package-manifest.js';
import { probe } from './probe.js';
import type { ProbedPlugin } from './probe-protocol.js';

/** A plugin that is loaded or installed already. */
export interface TakenPlugin extends Pick<ProbedPlugin, 'kind' | 'id'> {
  readonly package: string;
}

export interface StageOptions {
  /** As it was asked for, for messages. */
  readonly spec: string;
  /** As npm takes it: a name, an absolute path, an address. */
  readonly source: string;
  /** Folder that the stage is made in. */
  readonly parent: string;
  readonly npm: Npm;
  /** Ids that the plugin must not have. */
  readonly taken: readonly TakenPlugin[];
  /** Seconds that the plugin may take to load. */
  readonly seconds: number;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A plugin package in a folder of its own, with everything that it needs, checked and tried out. */
export interface Stage extends AsyncDisposable {
  readonly folder: string;
  readonly manifest: PackageManifest;
  readonly plugins: readonly ProbedPlugin[];
  readonly notes: readonly string[];
}

/**
 * Installs a plugin where nobody sees it yet, and checks it there: its own words, its peers, and loading it in a process of its own. Disposing removes the folder unless it was
 * moved away.
 * @throws PARE_PLUGIN_INSTALL_FAILED, PARE_PLUGINS_INVALID, PARE_ABORTED
 */
export async function stagePlugin({ spec, source, parent, npm, taken, seconds, env, signal }: StageOptions): Promise<Stage> {
  const made = await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, '.installing-'));
  const remove = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    // A store that was made for this plugin, and did not get it, is not left behind.
    if (made !== undefined) await rmdir(parent).catch(() => undefined);
  };
  try {
    await writeFile(join(folder, 'package.json'), `${JSON.stringify({ name: 'pare-installed-plugin', version: '0.0.0', private: true })}\n`);
    // A stage of its own for each plugin: what one needs cannot disturb what another needs. Folders are packed, as publishing would, not linked.
    const install = (...specs: readonly string[]): Promise<void> => runNpm(['install', '--install-links', '--legacy-peer-deps', '--prefer-offline', ...specs], { npm, cwd: folder, env, signal });
    await npmFailures(spec, install(source));
    const name = Object.keys((await readManifest(folder))?.dependencies ?? {})[0];
    const manifest = name === undefined ? undefined : await readManifest(join(folder, 'node_modules', name));
    if (name === undefined || manifest === undefined) throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: spec, reason: 'npm installed nothing' });
    refuse(await packageProblems(manifest));
    await addPeers(manifest, folder, (...specs) => npmFailures(spec, install(...specs)));
    const { plugins, problems, notes } = await probe({ kind: 'package', reference: { package: name, from: folder }, seconds }, signal);
    refuse([...problems, ...conflicts(name, plugins, taken)]);
    return { folder, manifest, plugins, notes, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

function refuse(problems: readonly PluginProblem[]): void {
  if (problems.length > 0) throw pareError('PARE_PLUGINS_INVALID', { problems });
}

/** Says which plugin npm could not install. */
export async function npmFailures(spec: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (error instanceof NpmError) throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: spec, reason: error.message }, error);
    throw error;
  }
}

/** Peers that the host runs with are the host's own copies, so that both sides mean the same thing; npm brings the others. */
async function addPeers({ peerDependencies = {}, peerDependenciesMeta = {} }: PackageManifest, folder: string, install: (...specs: readonly string[]) => Promise<void>): Promise<void> {
  const links: { readonly from: string; readonly to: string }[] = [];
  const others: string[] = [];
  for (const [peer, range] of Object.entries(peerDependencies)) {
    const own = await hostPackage(peer);
    const place = join(folder, 'node_modules', peer);
    if (own !== undefined) links.push({ from: place, to: own.folder });
    else if (peerDependenciesMeta[peer]?.optional !== true && (await installedFolder(peer, folder)) === undefined) others.push(`${peer}@${range}`);
  }
  if (others.length > 0) await install(...others);
  // Links come last: npm takes away what it did not install.
  for (const { from, to } of links) {
    await rm(from, { recursive: true, force: true });
    await mkdir(dirname(from), { recursive: true });
    await symlink(to, from, 'junction');
  }
}

function conflicts(name: string, plugins: readonly ProbedPlugin[], taken: readonly TakenPlugin[]): PluginProblem[] {
  return plugins.flatMap(({ kind, id }) => {
    const other = taken.find((plugin) => plugin.kind === kind && plugin.id === id && plugin.package !== name);
    if (other === undefined) return [];
    return [{ path: name, found: `${kind} id "${id}", which ${other.package} has already`, allowed: `one plugin for ${kind} id "${id}"`, fix: `Remove ${other.package} first, or leave ${name} out.` }];
  });
}

/** The refusal to remove what is not there. */
export function notInstalled(plugin: string, place: string, installed: readonly string[]): Error {
  return pareError('PARE_PLUGIN_NOT_INSTALLED', { plugin, place, installed, nearest: nearest(plugin, installed) });
}
