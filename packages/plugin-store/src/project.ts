import { pareError } from '@pare/core';
import { defaultFiles, writeAtomically } from '@pare/platform';
import type { PluginReference } from '@pare/runtime';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findNpm, runNpm } from './npm.js';
import { installedFolder, readManifest } from './package-manifest.js';
import { resolveSpec } from './plugin-spec.js';
import { probe } from './probe.js';
import { notInstalled, npmFailures, stagePlugin, type TakenPlugin } from './stage.js';
import type { Installation, InstallOptions } from './user-store.js';

/** Plugin packages that a project's package.json names in `"pare": { "plugins": [ … ] }`; none where there is no such field. */
export async function projectPlugins(folder: string): Promise<readonly PluginReference[]> {
  return (await pluginNames(folder)).map((name) => ({ package: name, from: folder }));
}

async function pluginNames(folder: string): Promise<readonly string[]> {
  const listed = (await readManifest(folder))?.pare?.plugins;
  return Array.isArray(listed) ? listed.filter((name) => typeof name === 'string') : [];
}

/**
 * Installs a plugin as a dependency of the project in a folder, and names it in the project's package.json. It is checked and tried out elsewhere first, so that a project gets
 * only what works.
 * @throws PARE_NPM_MISSING, PARE_PLUGIN_INSTALL_FAILED, PARE_PLUGINS_INVALID, PARE_ABORTED
 */
export async function installInProject(project: string, { spec, cwd, taken, seconds = 30, env, signal }: InstallOptions): Promise<Installation> {
  const npm = await findNpm('pare plugins install', env);
  if ((await readManifest(project)) === undefined) {
    throw pareError('PARE_PLUGIN_INSTALL_FAILED', { plugin: spec, reason: `${project} has no package.json; make one with "npm init", or install for yourself with --user` });
  }
  const source = await resolveSpec(spec, cwd);
  const others = await Promise.all((await projectPlugins(project)).map((reference) => held(reference, seconds, signal)));
  await using stage = await stagePlugin({ spec, source, parent: tmpdir(), npm, taken: [...taken, ...others.flat()], seconds, env, signal });
  const { name, version } = stage.manifest;
  const present = await installedFolder(name, project);
  const replaced = present === undefined ? undefined : (await readManifest(present))?.version;
  await npmFailures(spec, runNpm(['install', '--prefer-offline', source], { npm, cwd: project, env, signal }));
  const names = await pluginNames(project);
  if (!names.includes(name)) await writeNames(project, [...names, name].sort());
  return { package: name, version, plugins: stage.plugins.map(({ kind, id }) => ({ kind, id })), reference: { package: name, from: project }, replaced, notes: stage.notes };
}

/** What a package of the project holds; nothing when it does not load, which is no reason to refuse another. */
async function held({ package: name, from }: PluginReference, seconds: number, signal: AbortSignal | undefined): Promise<TakenPlugin[]> {
  const { plugins } = await probe({ kind: 'package', reference: { package: name, from }, seconds }, signal);
  return plugins.map(({ kind, id }) => ({ kind, id, package: name }));
}

/**
 * Takes a plugin out of a project: its name and the dependency.
 * @throws PARE_PLUGIN_NOT_INSTALLED, PARE_NPM_MISSING, PARE_PLUGIN_INSTALL_FAILED
 */
export async function removeFromProject(project: string, name: string, { env, signal }: Pick<InstallOptions, 'env' | 'signal'> = {}): Promise<void> {
  const names = await pluginNames(project);
  if (!names.includes(name)) throw notInstalled(name, join(project, 'package.json'), names);
  const npm = await findNpm('pare plugins remove', env);
  await npmFailures(name, runNpm(['uninstall', name], { npm, cwd: project, env, signal }));
  await writeNames(project, names.filter((other) => other !== name));
}

/** Writes the list into package.json, which keeps everything else and its indentation. */
async function writeNames(project: string, names: readonly string[]): Promise<void> {
  const file = join(project, 'package.json');
  const text = await readFile(file, 'utf8');
  const { pare, ...manifest } = JSON.parse(text) as Record<string, unknown> & { pare?: Record<string, unknown> };
  const { plugins: _plugins, ...field } = pare ?? {};
  const updated = names.length > 0 ? { ...field, plugins: names } : field;
  const content = Object.keys(updated).length > 0 ? { ...manifest, pare: updated } : manifest;
  await writeAtomically(defaultFiles, file, `${JSON.stringify(content, undefined, /^([ \t]+)"/m.exec(text)?.[1] ?? 2)}\n`);
}
