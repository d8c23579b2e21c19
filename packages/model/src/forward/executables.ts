import type { Backend, Executable, Graph } from '@pare/core';
import type { BlockGraph } from '../decoder/block-graph.js';
import type { CompiledBlock } from './context.js';

/** Graphs and what a backend made of them, by key. Builds and compiles each once; disposes all with itself. */
export class ExecutableCache implements AsyncDisposable {
  readonly backend: Backend;
  readonly #entries = new Map<string, Promise<CompiledBlock<BlockGraph>>>();

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** A compiled graph. */
  async get(key: string, build: () => Graph): Promise<Executable> {
    return (await this.block(key, () => ({ graph: build(), parameters: [], constants: [] }))).executable;
  }

  /** A compiled graph over a block. Keys must tell apart whatever `build` may return. */
  block<G extends BlockGraph>(key: string, build: () => G): Promise<CompiledBlock<G>> {
    let entry = this.#entries.get(key) as Promise<CompiledBlock<G>> | undefined;
    if (entry === undefined) {
      entry = this.#compile(build);
      this.#entries.set(key, entry);
      // A failure is not remembered, so that the next call reports it again.
      entry.catch(() => this.#entries.delete(key));
    }
    return entry;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const result of await Promise.allSettled(entries)) if (result.status === 'fulfilled') await result.value.executable[Symbol.asyncDispose]();
  }

  async #compile<G extends BlockGraph>(build: () => G): Promise<CompiledBlock<G>> {
    const graph = build();
    return { graph, executable: await this.backend.compile(graph.graph) };
  }
}
