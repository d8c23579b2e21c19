import type { Logger, PluginEntry } from '@pare/core';
import type { Host, HostOptions } from '@pare/runtime';
import { dirname } from 'node:path';
import type { CommandContext } from './context.js';
import { loadBundledPlugins } from './bundled-plugins.js';

/** A host with the bundled plugins, those of the folder's `pare.config.ts` and package.json, and the user's own. */
export async function openHost(context: CommandContext, options: Pick<HostOptions, 'cacheDirectory'> = {}): Promise<Host> {
  const [{ createHost }, { loadConfig }, { defaultStoreFolder, projectPlugins, UserStore }] = await Promise.all([import('@pare/runtime'), import('@pare/runtime/node'), import('@pare/plugin-store')]);
  const [bundled, { file, config }, inProject, ofUser] = await Promise.all([
    loadBundledPlugins(),
    loadConfig(context.cwd, context.config),
    projectPlugins(context.cwd),
    new UserStore(defaultStoreFolder(context.env)).list(),
  ]);
  // Whatever is nearer counts: a package that the configuration or the project names is not taken from the user's store as well.
  const configured = config.plugins ?? [];
  const named = new Set(namesIn(configured));
  const project = inProject.filter((plugin) => !named.has(plugin.package));
  const nearer = new Set([...named, ...project.map((plugin) => plugin.package)]);
  return createHost({
    // The configuration's come first, so that a problem with plugins[0] is about its first entry; the user's come last, so that they give way.
    plugins: [...configured, ...project, ...bundled, ...ofUser.filter((plugin) => !nearer.has(plugin.package)).map(({ reference }) => reference)],
    services: config.services,
    logger: terminalLogger(context),
    cwd: context.cwd,
    pluginFolder: file === undefined ? undefined : dirname(file),
    signal: context.signal,
    ...options,
  });
}

/** Package names of a list, however deep. */
function namesIn(entries: readonly PluginEntry[]): string[] {
  return entries.flatMap((entry) => (typeof entry === 'string' ? [entry] : Array.isArray(entry) ? namesIn(entry as readonly PluginEntry[]) : []));
}

/** Messages of plugins and host, on standard error. */
function terminalLogger({ terminal }: CommandContext): Logger {
  const style = terminal.noteStyle;
  return {
    debug: (message) => {
      if (terminal.debug) terminal.warn(style.dim(message));
    },
    info: (message) => {
      terminal.note(message);
    },
    warn: (message) => {
      terminal.warn(`${style.yellow('warning')} ${message}`);
    },
    error: (message) => {
      terminal.warn(`${style.red('error')} ${message}`);
    },
  };
}
