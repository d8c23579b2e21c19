import { type Backend, type DeviceTensor, type Graph, type HostTensor } from '@pare/core';

/** How far a value may be from the expected one: |value − expected| ≤ absolute + relative · |expected|. */
export interface Tolerance {
  readonly relative: number;
  readonly absolute: number;
}

/** A graph with inputs and the outputs it must give. */
export interface BackendCase {
  /** Unique in the suite; what ledgers and lists of skipped cases name. */
  readonly name: string;
  /** What the case is about, for messages. */
  readonly title: string;
  readonly tolerance: Tolerance;
  build(): { readonly graph: Graph; readonly inputs: Readonly<Record<string, HostTensor>>; readonly expected: Readonly<Record<string, HostTensor>> };
}

/** Compiles a graph, runs it once on host tensors and reads the outputs. Leaves nothing on the backend, whatever happens. */
export async function runOnce(backend: Backend, graph: Graph, inputs: Readonly<Record<string, HostTensor>>): Promise<Record<string, HostTensor>> {
  await using executable = await backend.compile(graph);
  using scope = backend.scope();
  const given: Record<string, DeviceTensor> = {};
  for (const [name, tensor] of Object.entries(inputs)) given[name] = scope.own(backend.write(tensor));
  const outputs = await executable.run(given);
  for (const tensor of Object.values(outputs)) scope.own(tensor);
  const results: Record<string, HostTensor> = {};
  for (const [name, tensor] of Object.entries(outputs)) results[name] = await backend.read(tensor);
  return results;
}
