import type { Backend } from './backend.js';
import type { OptionsSchema } from './options.js';
import type { Logger, ServiceDependencies, ServiceInstances } from './service.js';

/** The version of these contracts. A plugin states the one it was written for; the host refuses others by name. */
export const apiVersion = 1;

/** What every plugin says about itself. */
export interface PluginIdentity {
  /** The published method's usual name in kebab case. */
  readonly id: string;
  readonly api: number;
  readonly title: string;
  /** One sentence for lists and help texts. */
  readonly summary: string;
  /** Package and version, for manifests; the loader fills them in when it can. */
  readonly package?: string | undefined;
  readonly version?: string | undefined;
}

/** Reports how far a piece of work has come. */
export interface Progress {
  report(state: { readonly completed: number; readonly total: number; readonly unit: string; readonly detail?: string | undefined }): void;
}

/** What the host gives every plugin call. Built per plugin; nothing here is global. */
export interface PluginContext<D extends ServiceDependencies = ServiceDependencies> {
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Seed of this call; the same recipe and seed give the same result on the same backend. */
  readonly seed: number;
  readonly progress: Progress;
  readonly backend: Backend;
  readonly services: ServiceInstances<D>;
}

/** A schema for plugins without options: accepts `{}` or nothing. */
export const noOptions: OptionsSchema<Record<string, never>> = {
  '~standard': {
    version: 1,
    vendor: 'pare',
    validate: (value: unknown) =>
      value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
        ? { value: {} }
        : { issues: [{ message: 'this plugin has no options' }] },
    jsonSchema: {
      input: () => ({ type: 'object', properties: {}, additionalProperties: false }),
      output: () => ({ type: 'object', properties: {}, additionalProperties: false }),
    },
  },
};
