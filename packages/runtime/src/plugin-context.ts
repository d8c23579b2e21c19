import type { Backend, HostEvents, Logger, PluginContext, Progress, ServiceDependencies } from '@pare/core';
import type { ServiceContainer } from './container.js';

/** What the parts of a running host share. */
export interface HostCore {
  readonly container: ServiceContainer;
  readonly log: Logger;
  emit<K extends keyof HostEvents>(event: K, data: HostEvents[K]): void;
}

/** The context of one plugin call. */
export async function createPluginContext<D extends ServiceDependencies>(
  core: HostCore,
  call: { readonly plugin: string; readonly task: string; readonly deps: D | undefined; readonly signal: AbortSignal; readonly seed: number; readonly backend: Backend },
): Promise<PluginContext<D>> {
  return {
    log: prefixed(core.log, call.plugin),
    signal: call.signal,
    seed: call.seed,
    progress: progressOf(core, call.task),
    backend: call.backend,
    services: await core.container.resolve(call.deps),
  };
}

/** Progress as events of a task. */
export function progressOf(core: HostCore, task: string): Progress {
  return {
    report: ({ completed, total, unit, detail }) => {
      core.emit('progress', { task, completed, total, unit, detail });
    },
  };
}

/** A logger whose lines say which plugin wrote them. */
export function prefixed(log: Logger, prefix: string): Logger {
  return {
    debug: (message) => {
      log.debug(`${prefix}: ${message}`);
    },
    info: (message) => {
      log.info(`${prefix}: ${message}`);
    },
    warn: (message) => {
      log.warn(`${prefix}: ${message}`);
    },
    error: (message) => {
      log.error(`${prefix}: ${message}`);
    },
  };
}

/** A seed of its own for each call, the same whenever the call is repeated (SplitMix32 finaliser over the running sum). */
export function deriveSeed(seed: number, ...path: readonly number[]): number {
  let state = seed >>> 0;
  for (const step of path) {
    state = (state + 0x9e3779b9 + step) >>> 0;
    state = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    state = Math.imul(state ^ (state >>> 15), 0x735a2d97);
    state = (state ^ (state >>> 15)) >>> 0;
  }
  return state;
}
