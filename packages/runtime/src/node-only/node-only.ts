import type { ResolveModelOptions } from '@pare/model/node';

/** What a host can do in Node alone. `#node-only` is Node's, or a page's where bundlers set the condition `browser`. */
export interface NodeOnly {
  /** URL of the file that `import name` would load from a folder, or undefined. */
  locate(name: string, cwd: string): Promise<string | undefined>;
  importFile(url: string, cwd: string): Promise<Record<string, unknown>>;
  packageOf(url: string): Promise<{ readonly name: string; readonly version: string; readonly folder: string } | undefined>;
  /** The folder of a model named by hub name. @throws PARE_MODEL_NOT_FOUND, PARE_HUB_… */
  resolveModel(model: string, options: ResolveModelOptions): Promise<string>;
}
