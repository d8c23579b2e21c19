import {
  checkRunInputs,
  isPareError,
  pareError,
  planRun,
  readInitializer,
  throwIfAborted,
  type DeviceTensor,
  type Executable,
  type Graph,
  type GraphNode,
  type HostTensor,
  type RunOptions,
} from '@pare/core';
import { evaluateNode, opsetOf } from '@pare/operators';
import { borrow, type DeviceMemory, type ReferenceTensor } from './device-memory.js';

/** Milliseconds of work between two visits to the event loop. */
const sliceMilliseconds = 12;

const nextTask = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 0);
  });

/** A graph whose constants are in memory. */
export class ReferenceExecutable implements Executable {
  readonly graph: Graph;
  readonly #memory: DeviceMemory;
  #constants: ReadonlyMap<string, HostTensor> | undefined;

  constructor(graph: Graph, constants: ReadonlyMap<string, HostTensor>, memory: DeviceMemory) {
    this.graph = graph;
    this.#constants = constants;
    this.#memory = memory;
  }

  async run(inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions = {}): Promise<Record<string, DeviceTensor>> {
    const { graph } = this;
    const what = `the run of graph "${graph.name}"`;
    throwIfAborted(options.signal, what);
    const constants = this.#constants;
    if (constants === undefined) throw this.#failure('the executable was disposed');
    checkRunInputs(this.#memory.backend, graph, inputs);
    const plan = planRun(graph, options.outputs);
    const values = new Map<string, HostTensor>(constants);
    for (const { name } of graph.inputs) values.set(name, borrow(this.#memory, inputs[name]!, `run of graph "${graph.name}", input "${name}",`));
    // Intermediate values are device tensors while they live, so that the memory report shows what a run needs.
    const intermediates = new Map<string, ReferenceTensor>();
    try {
      let sliceEnd = performance.now() + sliceMilliseconds;
      for (const { node, release } of plan.steps) {
        if (performance.now() > sliceEnd) {
          await nextTask();
          sliceEnd = performance.now() + sliceMilliseconds;
        }
        throwIfAborted(options.signal, what);
        const results = this.#evaluate(node, values);
        for (const [position, name] of node.outputs.entries()) {
          const result = results[position];
          if (name === '' || result === undefined) continue;
          values.set(name, result);
          intermediates.set(name, this.#memory.adopt(result));
        }
        for (const name of release) {
          values.delete(name);
          intermediates.get(name)?.[Symbol.dispose]();
          intermediates.delete(name);
        }
      }
      const outputs: Record<string, DeviceTensor> = {};
      for (const name of plan.outputs) {
        const made = intermediates.get(name);
        intermediates.delete(name);
        outputs[name] = made ?? this.#memory.adopt(values.get(name) ?? this.#missing(name));
      }
      return outputs;
    } finally {
      for (const tensor of intermediates.values()) tensor[Symbol.dispose]();
    }
  }

  #evaluate(node: GraphNode, values: ReadonlyMap<string, HostTensor>): HostTensor[] {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : (values.get(name) ?? this.#missing(name))));
    try {
      return evaluateNode(node, inputs, { opset: opsetOf(this.graph, node), graph: this.graph.name });
    } catch (error) {
      if (isPareError(error) && error.code === 'PARE_GRAPH_INVALID')
        throw this.#failure(`node ${String(error.data['node'])}: ${String(error.data['problem'])}`, error);
      throw error;
    }
  }

  #missing(name: string): never {
    throw this.#failure(`value "${name}" was not computed`);
  }

  #failure(reason: string, cause?: unknown): Error {
    return pareError('PARE_BACKEND_RUN_FAILED', { backend: this.#memory.backend, graph: this.graph.name, reason }, cause);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#constants = undefined;
    return Promise.resolve();
  }
}

/** Every constant of a graph in memory; the lazy ones are read. */
export async function loadConstants(graph: Graph): Promise<Map<string, HostTensor>> {
  const constants = new Map<string, HostTensor>();
  for (const [name, initializer] of graph.initializers) constants.set(name, await readInitializer(initializer));
  return constants;
}
