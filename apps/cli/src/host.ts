import type { Logger } from '@pare/core';
import type { Host, HostOptions } from '@pare/runtime';
import { dirname } from 'node:path';
import type { CommandContext } from './context.js';
import { loadBundledPlugins } from './bundled-plugins.js';

/** A host with the bundled plugins and those of the folder's `pare.config.ts`. */
export async function openHost(context: CommandContext, options: Pick<HostOptions, 'cacheDirectory'> = {}): Promise<Host> {
  const [{ createHost }, { loadConfig }] = await Promise.all([import('@pare/runtime'), import('@pare/runtime/node')]);
  const [bundled, { file, config }] = await Promise.all([loadBundledPlugins(), loadConfig(context.cwd, context.config)]);
  return createHost({
    // The configuration's come first, so that a problem with plugins[0] is about its first entry.
    plugins: [...(config.plugins ?? []), ...bundled],
    services: config.services,
    logger: terminalLogger(context),
    cwd: context.cwd,
    pluginFolder: file === undefined ? undefined : dirname(file),
    signal: context.signal,
    ...options,
  });
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
