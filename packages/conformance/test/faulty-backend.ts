import {
  checkRunInputs,
  createTensorScope,
  hostTensor,
  pareError,
  planRun,
  tensorBytes,
  throwIfAborted,
  type Backend,
  type DeviceTensor,
  type DType,
  type Executable,
  type Graph,
  type HostTensor,
  type RunOptions,
  type UnsupportedOperator,
} from '@pare/core';
import { inferTypes } from '@pare/graph';
import { castTensor, evaluateGraph, unsupportedReason } from '@pare/operators';

/** What can be wrong with a backend. */
export type Fault =
  | 'none'
  | 'wrong values'
  | 'wrong shapes'
  | 'leaks a tensor at every run'
  | 'disposes its inputs'
  | 'keeps the arrays it is given'
  | 'hands out its own arrays'
  | 'does not check inputs'
  | 'ignores signals'
  | 'says it lacks Softmax'
  | 'lacks Softmax'
  | 'counts memory twice';

class FaultyTensor implements DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #backend: FaultyBackend;
  readonly host: HostTensor;
  disposed = false;

  constructor(backend: FaultyBackend, host: HostTensor) {
    this.dtype = host.dtype;
    this.shape = host.shape;
    this.byteLength = tensorBytes(host);
    this.#backend = backend;
    this.host = host;
    backend.count(1, this.byteLength);
  }

  [Symbol.dispose](): void {
    if (this.disposed && this.#backend.fault !== 'counts memory twice') return;
    this.disposed = true;
    this.#backend.count(-1, -this.byteLength);
  }
}

/** The smallest backend that passes the suite, with one thing wrong at a time. */
export class FaultyBackend implements Backend {
  readonly id = 'faulty';
  readonly device = { name: 'test', memoryBytes: undefined, parallelism: undefined };
  readonly fault: Fault;
  #memory = { tensors: 0, bytes: 0, peakBytes: 0 };

  constructor(fault: Fault) {
    this.fault = fault;
  }

  count(tensors: number, bytes: number): void {
    const now = this.#memory.bytes + bytes;
    this.#memory = { tensors: this.#memory.tensors + tensors, bytes: now, peakBytes: Math.max(this.#memory.peakBytes, now) };
  }

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    return new FaultyTensor(this, hostTensor(dtype, shape));
  }

  write({ dtype, shape, data }: HostTensor): DeviceTensor {
    return new FaultyTensor(this, hostTensor(dtype, shape, this.fault === 'keeps the arrays it is given' ? data : data.slice()));
  }

  read(tensor: DeviceTensor): Promise<HostTensor> {
    if (tensor.disposed && this.fault !== 'does not check inputs')
      return Promise.reject(pareError('PARE_TENSOR_DISPOSED', { operation: 'read', backend: this.id }));
    const { host } = tensor as FaultyTensor;
    return Promise.resolve(this.fault === 'hands out its own arrays' ? host : { ...host, data: host.data.slice() });
  }

  unsupported(graph: Graph): readonly UnsupportedOperator[] {
    const softmax = this.fault === 'lacks Softmax' || this.fault === 'says it lacks Softmax';
    return graph.nodes.flatMap((node) => {
      const reason = softmax && node.operator === 'Softmax' ? 'not written yet' : unsupportedReason(node);
      return reason === undefined ? [] : [{ operator: node.operator, domain: node.domain, node: node.name, reason }];
    });
  }

  async compile(graph: Graph): Promise<Executable> {
    const lacking = this.unsupported(graph).filter(({ operator }) => this.fault !== 'says it lacks Softmax' || operator !== 'Softmax');
    if (lacking.length > 0)
      throw pareError('PARE_OPERATOR_UNSUPPORTED', { backend: this.id, graph: graph.name, operators: lacking.map(({ operator }) => operator) });
    inferTypes(graph);
    const initializers = new Map(graph.initializers);
    for (const [name, tensor] of initializers) {
      if (!('data' in tensor)) initializers.set(name, hostTensor(tensor.dtype, tensor.shape, new Float32Array((await tensor.read()).buffer as ArrayBuffer)));
    }
    let disposed = false;
    return {
      graph,
      run: async (inputs, options) => {
        if (disposed) throw pareError('PARE_BACKEND_RUN_FAILED', { backend: this.id, graph: graph.name, reason: 'the executable was disposed' });
        await Promise.resolve();
        return this.#run({ ...graph, initializers }, inputs, options);
      },
      [Symbol.asyncDispose]: () => {
        disposed = true;
        return Promise.resolve();
      },
    };
  }

  #run(graph: Graph, inputs: Readonly<Record<string, DeviceTensor>>, options: RunOptions = {}): Record<string, DeviceTensor> {
    if (this.fault !== 'ignores signals') throwIfAborted(options.signal, 'the run');
    if (this.fault !== 'does not check inputs') checkRunInputs(this.id, graph, inputs);
    const { outputs } = planRun(graph, options.outputs);
    const results = evaluateGraph(graph, Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, (tensor as FaultyTensor).host])));
    if (this.fault === 'disposes its inputs') for (const tensor of Object.values(inputs)) tensor[Symbol.dispose]();
    if (this.fault === 'leaks a tensor at every run') this.allocate('float32', [1]);
    return Object.fromEntries(outputs.map((name) => [name, new FaultyTensor(this, this.#spoil(results[name]!))]));
  }

  #spoil(tensor: HostTensor): HostTensor {
    if (this.fault === 'wrong shapes') return { ...tensor, shape: [...tensor.shape, 1] };
    if (this.fault !== 'wrong values' || tensor.dtype !== 'float32') return tensor;
    return castTensor({ ...tensor, data: (tensor.data as Float32Array).map((value) => value + 0.01) }, tensor.dtype);
  }

  synchronize(): Promise<void> {
    return Promise.resolve();
  }

  memory() {
    return this.#memory;
  }

  capability(): undefined {
    return undefined;
  }

  scope() {
    return createTensorScope();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
