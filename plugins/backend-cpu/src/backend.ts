import {
  createTensorScope,
  pareError,
  viewAs,
  elementCount,
  hostTensor,
  type Backend,
  type CapabilityRef,
  type DType,
  type DeviceInfo,
  type DeviceTensor,
  type Executable,
  type Graph,
  type HostTensor,
  type MemoryReport,
  type TensorScope,
  type TypedArray,
  type UnsupportedOperator,
} from '@pare/core';
import { columnSolver, createColumnSolver, type ColumnSolver } from '@pare/solvers';
import { cpuDevice } from './device-info.js';
import { CpuExecutable } from './executable.js';
import { TensorLedger } from './ledger.js';
import type { Failure } from './protocol.js';
import { CpuTensor, ownTensor } from './tensor.js';
import { unsupportedOperators } from './unsupported.js';
import { WorkerChannel } from './worker-channel.js';

/** Tensors and sessions in a worker thread that runs onnxruntime, so that the calling thread stays free for events, timers and signals. */
export class CpuBackend implements Backend {
  readonly id = 'cpu';
  readonly device: DeviceInfo;
  readonly #threads: number;
  readonly #channel: WorkerChannel;
  readonly #ledger: TensorLedger;
  #solver: ColumnSolver | undefined;
  #closing: Promise<void> | undefined;

  private constructor(threads: number, channel: WorkerChannel) {
    this.#threads = threads;
    this.#channel = channel;
    this.#ledger = new TensorLedger((id) => {
      channel.notifyIfAlive({ kind: 'dispose', id });
    });
    this.device = cpuDevice(threads);
  }

  /** @throws PARE_BACKEND_UNAVAILABLE when onnxruntime does not load. */
  static async open(threads: number): Promise<CpuBackend> {
    return new CpuBackend(threads, await WorkerChannel.open('cpu', threads));
  }

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    this.#channel.throwIfLost();
    const id = this.#ledger.nextId();
    this.#channel.notify({ kind: 'allocate', id, dtype, shape });
    return new CpuTensor(this.#ledger, id, dtype, shape);
  }

  write(tensor: HostTensor, options: { readonly transfer?: boolean } = {}): DeviceTensor {
    this.#channel.throwIfLost();
    const { dtype, shape, data } = hostTensor(tensor.dtype, tensor.shape, tensor.data);
    const id = this.#ledger.nextId();
    const send = (buffer: ArrayBuffer): void => {
      this.#channel.notify({ kind: 'write', id, dtype, shape, buffer }, [buffer]);
    };
    const own = options.transfer === true ? wholeBuffer(data) : undefined;
    let sent = false;
    if (own !== undefined) {
      try {
        send(own);
        sent = true;
      } catch {
        // Not every buffer can be detached: WebAssembly memories and Node's pool refuse. They are copied.
        this.#channel.throwIfLost();
      }
    }
    if (!sent) send(data.slice().buffer as ArrayBuffer);
    return new CpuTensor(this.#ledger, id, dtype, shape);
  }

  async read(tensor: DeviceTensor): Promise<HostTensor> {
    this.#channel.throwIfLost();
    if (tensor.disposed) throw pareError('PARE_TENSOR_DISPOSED', { operation: 'read', backend: this.id });
    const { id, dtype, shape } = ownTensor(tensor, this.#ledger, 'read', 'tensor');
    const explain = (failure: Failure): Error => pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend: this.id, operation: `a read of ${dtype} [${shape.join(', ')}]`, reason: failure.message });
    const bytes = (await this.#channel.call({ kind: 'read', id }, explain)) as ArrayBuffer;
    return { dtype, shape, data: viewAs(dtype, bytes, 0, elementCount(shape)) };
  }

  unsupported(graph: Graph): readonly UnsupportedOperator[] {
    return unsupportedOperators(graph);
  }

  async compile(graph: Graph): Promise<Executable> {
    this.#channel.throwIfLost();
    const lacking = this.unsupported(graph);
    if (lacking.length > 0) {
      const operators = [...new Set(lacking.map(({ operator, node, reason }) => `${operator} (node "${node}": ${reason})`))];
      throw pareError('PARE_OPERATOR_UNSUPPORTED', { backend: this.id, graph: graph.name, operators });
    }
    return CpuExecutable.compile(this.id, this.#channel, this.#ledger, graph);
  }

  async synchronize(): Promise<void> {
    await this.#channel.call({ kind: 'synchronize' }, (failure) => pareError('PARE_BACKEND_LOST', { backend: this.id, reason: failure.message }));
  }

  memory(): MemoryReport {
    return this.#ledger.report();
  }

  capability<T>(ref: CapabilityRef<T>): T | undefined {
    if (ref.id !== columnSolver.id || this.#closing !== undefined) return undefined;
    this.#solver ??= createColumnSolver({ threads: this.#threads });
    return this.#solver as T;
  }

  scope(): TensorScope {
    return createTensorScope();
  }

  /** Ends the worker. What is waiting is rejected with PARE_BACKEND_LOST; an operation that runs finishes first, its result is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= Promise.all([this.#channel.close('it was disposed'), this.#solver?.dispose()]).then(() => undefined);
    await this.#closing;
  }
}

/** The array's buffer when the array covers all of it. */
function wholeBuffer(data: TypedArray): ArrayBuffer | undefined {
  const { buffer } = data;
  return buffer instanceof ArrayBuffer && data.byteLength === buffer.byteLength ? buffer : undefined;
}
