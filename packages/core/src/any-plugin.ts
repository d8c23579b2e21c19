import type { Architecture } from './architecture-plugin.js';
import type { BackendPlugin } from './backend-plugin.js';
import type { Evaluator } from './evaluator.js';
import type { Format } from './format.js';
import type { Preset } from './recipe.js';
import type { ServiceFactory } from './service.js';
import type { Technique } from './technique.js';

/* Plugins of every options type are kept in one list; `never` is the only argument type that all of their functions accept,
   and the host hands each plugin the options its own schema parsed. */
/* eslint-disable @typescript-eslint/no-explicit-any */

/** A plugin of any kind. */
export type Plugin = Technique<any, any> | Evaluator<any, any> | BackendPlugin<any> | Format<any> | Architecture | Preset;

/** The kinds of plugins and the tag each carries. */
export const pluginTags = {
  technique: '@pare/technique',
  evaluator: '@pare/evaluator',
  backend: '@pare/backend',
  format: '@pare/format',
  architecture: '@pare/architecture',
  preset: '@pare/preset',
} as const;

export type PluginKind = keyof typeof pluginTags;

/** The kind of a tagged value, or undefined. */
export function pluginKind(value: unknown): PluginKind | undefined {
  if (typeof value !== 'object' || value === null || !('$$type' in value)) return undefined;
  return (Object.keys(pluginTags) as PluginKind[]).find((kind) => pluginTags[kind] === value.$$type);
}

/** What `pare.config.ts` exports by default. Nested lists are flattened and falsy entries dropped. */
export interface PareConfig {
  readonly plugins?: readonly PluginEntry[];
  /** Services that replace or extend the host's. */
  readonly services?: readonly ServiceFactory[];
}

/** A plugin, a package name, a list of either, or nothing. */
export type PluginEntry = Plugin | string | readonly PluginEntry[] | false | null | undefined;

/** Types a configuration. */
export function defineConfig(config: PareConfig): PareConfig {
  return config;
}
