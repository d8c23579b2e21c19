import { isPareError, pareError, type PareConfig } from '@pare/core';
import { TimeLimitError, withTimeLimit } from '@pare/platform';
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { notAList } from './loader.js';
import { describeValue } from './plugin-problem.js';

/** Names of configuration files, the first that exists is taken. */
export const configFiles = ['pare.config.ts', 'pare.config.mts', 'pare.config.js', 'pare.config.mjs'] as const;

export interface LoadedConfig {
  /** Absolute path, or undefined when the folder has no configuration. */
  readonly file: string | undefined;
  readonly config: PareConfig;
}

/**
 * Reads the `pare.config.*` of a folder, or the given file.
 * @param seconds that it may take to load
 * @throws PARE_FILE_UNREADABLE when a named file is missing; PARE_PLUGINS_INVALID when it throws, takes too long, or exports something else
 */
export async function loadConfig(cwd: string, file?: string, seconds = 30): Promise<LoadedConfig> {
  const path = file === undefined ? await findConfig(cwd) : resolve(cwd, file);
  if (path === undefined) return { file: undefined, config: {} };
  if (!(await exists(path))) throw pareError('PARE_FILE_UNREADABLE', { file: path, reason: 'no such file' });
  const invalid = (found: string, fix: string): Error =>
    pareError('PARE_PLUGINS_INVALID', { problems: [{ path, found, allowed: 'export default defineConfig({ plugins: [ … ], services: [ … ] })', fix }] });

  let exported: unknown;
  try {
    const { createJiti } = await import('jiti');
    const loading = createJiti(join(cwd, 'noop.mjs'), { fsCache: false, moduleCache: false, interopDefault: false }).import<Record<string, unknown>>(path);
    const module = await withTimeLimit(loading, seconds);
    exported = module['default'];
  } catch (error) {
    if (isPareError(error)) throw error;
    if (error instanceof TimeLimitError) throw invalid(`a file that had not loaded after ${String(seconds)} s`, `Remove what ${path}, or something that it imports, awaits at its top level.`);
    throw invalid(`a file that throws while it loads: ${error instanceof Error ? error.message : String(error)}`, `Correct ${path}.`);
  }
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported) || '$$type' in exported) {
    throw invalid(describeValue(exported), 'Export an object by default.');
  }
  const config = exported as Record<string, unknown>;
  const unknown = Object.keys(config).filter((key) => key !== 'plugins' && key !== 'services');
  if (unknown.length > 0) throw invalid(`keys ${unknown.join(', ')}`, 'Remove them.');
  for (const key of ['plugins', 'services'] as const) {
    if (config[key] !== undefined && !Array.isArray(config[key])) throw pareError('PARE_PLUGINS_INVALID', { problems: [notAList(config[key], `${path}: ${key}`)] });
  }
  return { file: path, config: config as PareConfig };
}

async function findConfig(cwd: string): Promise<string | undefined> {
  for (const name of configFiles) {
    const path = join(cwd, name);
    if (await exists(path)) return path;
  }
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
