import { pareError, pluginKind } from '@pare/core';
import type { Diagnosis, Installation, TakenPlugin } from '@pare/plugin-store';
import { basename, relative, resolve } from 'node:path';
import { loadBundledPlugins } from '../bundled-plugins.js';
import type { CommandContext } from '../context.js';
import { openHost } from '../host.js';
import type { GlobalOptions } from '../program.js';
import { formatTable } from '../terminal/table.js';

export interface PlaceOptions extends GlobalOptions {
  readonly user?: boolean;
}

export interface ProbeOptions extends GlobalOptions {
  readonly timeout: number;
}

export interface LockOptions extends GlobalOptions {
  readonly check?: boolean;
}

/** `pare plugins install <plugin>`: into the project of this folder, or with --user for its user. */
export async function installPlugin({ terminal, cwd, env, signal }: CommandContext, spec: string, { user, timeout }: PlaceOptions & ProbeOptions): Promise<void> {
  const { defaultStoreFolder, installInProject, UserStore } = await import('@pare/plugin-store');
  const options = { spec, cwd, env, signal, seconds: timeout, taken: await bundledIds() };
  terminal.note(`installing ${spec} and trying it out`);
  const installed = await (user === true ? new UserStore(defaultStoreFolder(env)).install(options) : installInProject(cwd, options));
  for (const note of installed.notes) terminal.warn(`${terminal.noteStyle.yellow('note')} ${note}`);
  if (terminal.json) {
    const { package: name, version, plugins, replaced } = installed;
    terminal.printJson({ package: name, version, plugins, replaced: replaced ?? null, folder: installed.reference.from });
    return;
  }
  terminal.print(installedText(installed, user === true));
}

function installedText({ package: name, version, plugins, replaced }: Installation, user: boolean): string {
  const held = plugins.map(({ kind, id }) => `${kind} ${id}`).join(', ');
  const before = replaced === undefined || replaced === version ? '' : ` in place of ${replaced}`;
  return `installed ${name} ${version}${before} ${user ? 'for you' : 'in this project'}: ${held}\n\npare plugins info ${plugins[0]?.id ?? ''} shows ${plugins.length > 1 ? 'the first one' : 'it'}.`;
}

/** `pare plugins remove <package>`. */
export async function removePlugin({ terminal, cwd, env, signal }: CommandContext, name: string, { user }: PlaceOptions): Promise<void> {
  const { defaultStoreFolder, removeFromProject, UserStore } = await import('@pare/plugin-store');
  const removed = user === true ? (await new UserStore(defaultStoreFolder(env)).remove(name)).package : name;
  if (user !== true) await removeFromProject(cwd, name, { env, signal });
  if (terminal.json) terminal.printJson({ package: removed });
  else terminal.print(`removed ${removed}`);
}

/** `pare plugins doctor`: examines every plugin that did not come with the command, each in a process of its own. Ends with code 2 when one is not well. */
export async function examine({ terminal, cwd, env, config, signal, endWith }: CommandContext, { timeout }: ProbeOptions): Promise<void> {
  const { defaultStoreFolder, examinePlugins, projectPlugins, UserStore } = await import('@pare/plugin-store');
  const store = new UserStore(defaultStoreFolder(env));
  const references = [
    ...(await projectPlugins(cwd)).map((reference) => ({ ...reference, place: 'project' as const })),
    ...(await store.list()).map(({ reference }) => ({ ...reference, place: 'user' as const })),
  ];
  const diagnoses = await examinePlugins({ cwd, config, references, bundled: await bundledIds(), seconds: timeout, signal });
  const healthy = diagnoses.every(({ problems }) => problems.length === 0);
  if (!healthy) endWith(2);
  if (terminal.json) {
    terminal.printJson({ healthy, plugins: diagnoses.map(({ package: name, version = null, ...diagnosis }) => ({ package: name, version, ...diagnosis })) });
    return;
  }
  if (diagnoses.length === 0) {
    terminal.print('No plugins beside those that come with pare.');
    return;
  }
  const { style } = terminal;
  const rows = diagnoses.map((diagnosis) => [
    diagnosis.package,
    diagnosis.version ?? '',
    diagnosis.place,
    diagnosis.plugins.map(({ kind, id }) => `${kind} ${id}`).join(', '),
    diagnosis.problems.length === 0 ? style.green('well') : style.red(`${String(diagnosis.problems.length)} problem(s)`),
  ]);
  terminal.print(formatTable([{ title: 'package' }, { title: 'version' }, { title: 'from' }, { title: 'plugins' }, { title: '' }], rows, style.dim));
  for (const diagnosis of diagnoses.filter(({ problems, notes }) => problems.length + notes.length > 0)) terminal.print(diagnosisText(diagnosis, style));
}

function diagnosisText({ package: name, problems, notes }: Diagnosis, style: CommandContext['terminal']['style']): string {
  return [
    ...problems.map(({ path, found, allowed, fix }) => `\n${style.red(path.startsWith('plugins[') ? name : path)}: found ${found}\n  allowed: ${allowed}\n  ${fix}`),
    ...notes.map((note) => `\n${style.yellow('note')} ${note}`),
  ].join('\n');
}

/** `pare plugins lock`: writes what is loaded, or with --check compares it with what was written. */
export async function lockPlugins(context: CommandContext, file: string | undefined, { check }: LockOptions): Promise<void> {
  const { terminal, cwd } = context;
  const [{ createLock, formatLock, lockFileName, requireLock }, { defaultFiles, writeAtomically }] = await Promise.all([import('@pare/plugin-lock'), import('@pare/platform')]);
  const path = resolve(cwd, file ?? lockFileName);
  const shown = relative(cwd, path);
  await using host = await openHost(context);
  if (check === true) {
    await requireLock(defaultFiles, path, host.plugins);
    if (terminal.json) terminal.printJson({ file: path, matches: true });
    else terminal.print(`plugins are those of ${shown}`);
    return;
  }
  const lock = await createLock(host.plugins);
  await writeAtomically(defaultFiles, path, formatLock(lock)).catch((error: NodeJS.ErrnoException) => {
    throw pareError('PARE_FILE_UNWRITABLE', { file: shown, reason: error.message }, error);
  });
  const count = Object.keys(lock.packages).length;
  if (terminal.json) terminal.printJson({ file: path, packages: count });
  else terminal.print(`locked ${String(count)} packages in ${shown}\n\nA recipe beside it pins them with\n  plugins: { lock: ${basename(path)} }`);
}

/** Ids of the plugins that come with the command. */
async function bundledIds(): Promise<TakenPlugin[]> {
  return (await loadBundledPlugins()).flatMap(({ plugin, package: name }) => [plugin].flat().map((one) => ({ kind: pluginKind(one)!, id: (one as { id: string }).id, package: name })));
}
