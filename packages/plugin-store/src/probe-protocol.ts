import type { PluginProblem, PluginReference } from '@pare/runtime';
import type { PluginKind } from '@pare/core';

/** A configuration whose file nobody named, in messages. */
export const configName = 'pare.config';

/** What a probing process is to load: a package, or a configuration file with all that it imports. */
export type ProbeRequest =
  | { readonly kind: 'package'; readonly reference: Pick<PluginReference, 'package' | 'from'>; readonly seconds: number }
  | { readonly kind: 'config'; readonly cwd: string; readonly file: string | undefined; readonly seconds: number };

/** A plugin that loaded. */
export interface ProbedPlugin {
  readonly kind: PluginKind;
  readonly id: string;
  readonly api: number;
  readonly summary: string;
}

export interface ProbeResult {
  readonly plugins: readonly ProbedPlugin[];
  readonly problems: readonly PluginProblem[];
  /** What loading left behind that is no fault yet: globals, listeners of the process. */
  readonly notes: readonly string[];
  /** Package names that a configuration lists. */
  readonly names: readonly string[];
}

/** `loading` comes when the process is up and the plugin's own code is about to run. */
export type ProbeReply = { readonly kind: 'loading' } | { readonly kind: 'done'; readonly result: ProbeResult };
