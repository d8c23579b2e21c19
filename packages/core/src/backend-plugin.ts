import type { Backend, DeviceInfo, UnsupportedOperator } from './backend.js';
import type { Graph } from './graph.js';
import type { OptionsSchema } from './options.js';
import type { PluginIdentity } from './plugin.js';
import type { Logger } from './service.js';

/** How well a backend would serve here. Found without allocating on the device. */
export interface BackendScore {
  /** 0 = cannot run; reference 1, cpu 10, webgpu 50, cuda 100 are the usual figures. `--backend auto` takes the highest. */
  readonly score: number;
  /** Why, for `pare backends`: what was found, or what is missing and how to get it. */
  readonly reason: string;
  readonly device?: DeviceInfo | undefined;
}

export interface BackendDefinition<O> extends PluginIdentity {
  readonly options: OptionsSchema<O>;
  score(): Promise<BackendScore>;
  /** What this backend computes on the host whatever the device is, for plans, which open none; see `Backend.fallbacks`. */
  fallbacks?(graph: Graph): readonly UnsupportedOperator[];
  /** Opens the device. Importing the plugin must not. */
  create(options: O, context: { readonly log: Logger }): Promise<Backend>;
}

export interface BackendPlugin<O = unknown> extends BackendDefinition<O> {
  readonly $$type: '@pare/backend';
}

/** Defines a backend. */
export function defineBackend<O>(definition: BackendDefinition<O>): BackendPlugin<O> {
  return { ...definition, $$type: '@pare/backend' };
}
