import type { Backend, DeviceTensor, Executable, Graph } from '@pare/core';

/** Small graphs on one backend, compiled once for each key; they go with the object. */
export class DeviceGraphs implements AsyncDisposable {
  readonly backend: Backend;
  readonly #executables = new Map<string, Executable>();

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** Runs a graph. Inputs stay the caller's, outputs become the caller's. */
  async run(key: string, build: () => Graph, inputs: Readonly<Record<string, DeviceTensor>>): Promise<Record<string, DeviceTensor>> {
    let executable = this.#executables.get(key);
    if (executable === undefined) {
      executable = await this.backend.compile(build());
      this.#executables.set(key, executable);
    }
    return executable.run(inputs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const executable of this.#executables.values()) await executable[Symbol.asyncDispose]();
    this.#executables.clear();
  }
}
