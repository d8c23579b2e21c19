import {
  checkRunInputs,
  createTensorScope,
  hostTensor,
  elementCount,
  isPareError,
  pareError,
  planRun,
  refuseUnsupported,
  throwIfAborted,
  type Backend,
  type CapabilityRef,
  type DeviceInfo,
  type DeviceTensor,
  type DType,
  type Executable,
  type Graph,
  type HostTensor,
  type MemoryReport,
  type RunOptions,
  type TensorScope,
  type UnsupportedOperator,
  type ValueType,
} from '@pare/core';
import { inferTypes, isSupportedOperator } from '@pare/graph';
import { borrow, NullMemory, NullTensor } from './null-tensor.js';

export const nullDevice: DeviceInfo = { name: 'none', memoryBytes: undefined, parallelism: undefined };

/** Written tensors of at most this many elements keep their values: shapes, axes and sizes are among them. */
const keptElements = 256;

/** Tracks shapes and bytes. Nothing is computed: reading gives zeros. */
export class NullBackend implements Backend {
  readonly id = 'null';
  readonly device = nullDevice;
  readonly #memory = new NullMemory();

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    return new NullTensor(this.#memory, dtype, shape);
  }

  write(tensor: HostTensor): DeviceTensor {
    const { dtype, shape, data } = tensor;
    const checked = hostTensor(dtype, shape, data);
    return new NullTensor(this.#memory, dtype, shape, elementCount(shape) <= keptElements ? { ...checked, data: data.slice() } : undefined);
  }

  read(tensor: DeviceTensor): Promise<HostTensor> {
    try {
      borrow(this.#memory, tensor, 'read');
      return Promise.resolve(hostTensor(tensor.dtype, tensor.shape));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  unsupported(graph: Graph): readonly UnsupportedOperator[] {
    return graph.nodes
      .filter((node) => !isSupportedOperator(node.operator, node.domain))
      .map(({ operator, domain, name }) => ({ operator, domain, node: name, reason: 'its shapes are not known' }));
  }

  compile(graph: Graph): Promise<Executable> {
    try {
      refuseUnsupported(this, graph);
      inferTypes(graph);
      return Promise.resolve(new NullExecutable(graph, this.#memory));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  synchronize(): Promise<void> {
    return Promise.resolve();
  }

  memory(): MemoryReport {
    return this.#memory.report();
  }

  capability<T>(_ref: CapabilityRef<T>): T | undefined {
    return undefined;
  }

  scope(): TensorScope {
    return createTensorScope();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

class NullExecutable implements Executable {
  readonly graph: Graph;
  readonly #memory: NullMemory;
  #disposed = false;

  constructor(graph: Graph, memory: NullMemory) {
    this.graph = graph;
    this.#memory = memory;
  }

  run(inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions = {}): Promise<Record<string, DeviceTensor>> {
    try {
      return Promise.resolve(this.#run(inputs, options));
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  #run(inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions): Record<string, DeviceTensor> {
    const { graph } = this;
    throwIfAborted(options.signal, `the run of graph "${graph.name}"`);
    if (this.#disposed) throw this.#failure('the executable was disposed');
    checkRunInputs(this.#memory.backend, graph, inputs);
    const plan = planRun(graph, options.outputs);
    const types = this.#typesFor(inputs);
    const live = new Map<string, NullTensor>();
    const make = (name: string): NullTensor => {
      const { dtype, shape } = types.get(name)!;
      if (shape?.every((size) => typeof size === 'number') !== true) {
        throw this.#failure(`the shape of "${name}" depends on values, which this backend does not compute`);
      }
      return new NullTensor(this.#memory, dtype, shape as readonly number[]);
    };
    // Steps through the nodes as a real run would, so that the peak is that of a run that frees values after their last use.
    try {
      for (const { node, release } of plan.steps) {
        for (const name of node.outputs) if (name !== '') live.set(name, make(name));
        for (const name of release) {
          live.get(name)?.[Symbol.dispose]();
          live.delete(name);
        }
      }
      const outputs: Record<string, DeviceTensor> = {};
      for (const name of plan.outputs) {
        outputs[name] = live.get(name) ?? make(name);
        live.delete(name);
      }
      return outputs;
    } finally {
      for (const tensor of live.values()) tensor[Symbol.dispose]();
    }
  }

  /** Types of all values given this run's shapes, and the values of small inputs, which inference reads like constants. */
  #typesFor(inputs: Readonly<Record<string, DeviceTensor>>): ReadonlyMap<string, ValueType> {
    const initializers = new Map(this.graph.initializers);
    for (const { name } of this.graph.inputs) {
      const values = borrow(this.#memory, inputs[name]!, `run of graph "${this.graph.name}", input "${name}",`);
      if (values !== undefined) initializers.set(name, values);
    }
    const open = this.graph.inputs.filter(({ name }) => !initializers.has(name));
    const known = { ...this.graph, inputs: open, initializers, outputs: this.graph.outputs.map((output) => ({ ...output, shape: undefined })) };
    try {
      return inferTypes(known, { inputShapes: Object.fromEntries(open.map(({ name }) => [name, inputs[name]!.shape])) });
    } catch (error) {
      if (isPareError(error) && error.code === 'PARE_GRAPH_INVALID')
        throw this.#failure(`node ${String(error.data['node'])}: ${String(error.data['problem'])}`, error);
      throw error;
    }
  }

  #failure(reason: string, cause?: unknown): Error {
    return pareError('PARE_BACKEND_RUN_FAILED', { backend: this.#memory.backend, graph: this.graph.name, reason }, cause);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    return Promise.resolve();
  }
}
