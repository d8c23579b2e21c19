import type { DType } from './dtype.js';
import { pareError } from './errors.js';
import type { Graph } from './graph.js';
import type { HostTensor } from './tensor.js';

/** A tensor on a backend. Whoever created it disposes it; whoever receives it as an argument only borrows it. Using it after disposal throws. */
export interface DeviceTensor extends Disposable {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly disposed: boolean;
}

/** What a backend holds now and has held at most, in bytes of live device tensors. */
export interface MemoryReport {
  readonly tensors: number;
  readonly bytes: number;
  readonly peakBytes: number;
}

/** An operator of a graph that a backend cannot run. */
export interface UnsupportedOperator {
  readonly operator: string;
  readonly domain: string;
  readonly node: string;
  readonly reason: string;
}

/** A typed name of an extra power of some backends, such as solver kernels or custom kernels in the backend's own language. */
export interface CapabilityRef<T> {
  readonly $$type: '@pare/capability-ref';
  readonly id: string;
  readonly $type?: T;
}

/** Names a capability. */
export function capabilityRef<T>(id: string): CapabilityRef<T> {
  return { $$type: '@pare/capability-ref', id };
}

/** The device behind a backend, for people. */
export interface DeviceInfo {
  readonly name: string;
  /** Memory that tensors may use, in bytes, when known. */
  readonly memoryBytes: number | undefined;
  /** Parallel workers (threads, multiprocessors) when known. */
  readonly parallelism: number | undefined;
  /** Floating-point operations a second that forward passes and solvers usually reach, for estimates; left out where nobody knows. */
  readonly rate?: { readonly forward: number; readonly solver: number } | undefined;
  /** Memory of the device's own: bytes that one value of a pass may well take, and that hidden states may take between blocks. Left out where tensors lie in host memory. */
  readonly separate?: { readonly valueBytes: number; readonly statesBytes: number } | undefined;
}

/** Options of one run of a compiled graph. */
export interface RunOptions {
  /** Names of the outputs to compute; all of them by default. */
  readonly outputs?: readonly string[];
  readonly signal?: AbortSignal;
}

/** A compiled graph. Symbolic dimensions may differ from run to run. */
export interface Executable extends AsyncDisposable {
  readonly graph: Graph;
  /**
   * Runs the graph. Every graph input must be given; inputs stay the caller's, outputs become the caller's.
   * @throws PARE_TENSOR_MISMATCH when an input's type or shape does not fit the graph.
   */
  run(inputs: Readonly<Record<string, DeviceTensor>>, options?: RunOptions): Promise<Record<string, DeviceTensor>>;
}

/** Owns device tensors until it is disposed: `using scope = backend.scope()`. May span `await`. */
export interface TensorScope extends Disposable {
  /** Registers a tensor for disposal with the scope and returns it. */
  own<T extends DeviceTensor>(tensor: T): T;
  /** Takes a tensor out of the scope: its life is the caller's again. */
  keep<T extends DeviceTensor>(tensor: T): T;
}

/** Where tensors live and graphs run. Extra powers are capabilities, never methods that throw. */
export interface Backend extends AsyncDisposable {
  readonly id: string;
  readonly device: DeviceInfo;
  /** A zero-filled tensor. */
  allocate(dtype: DType, shape: readonly number[]): DeviceTensor;
  /** Copies a host tensor to the device. With `transfer` the host array may be detached to save the copy. */
  write(tensor: HostTensor, options?: { readonly transfer?: boolean }): DeviceTensor;
  /** Copies a device tensor to the host. */
  read(tensor: DeviceTensor): Promise<HostTensor>;
  /** Operators of `graph` that this backend lacks; empty when it can run all of it. */
  unsupported(graph: Graph): readonly UnsupportedOperator[];
  /**
   * Operators of `graph` that this backend has no kernel for and computes on the host instead, copying their inputs there and their results back, with the reason;
   * plans report them. Left out by backends that never do so.
   */
  fallbacks?(graph: Graph): readonly UnsupportedOperator[];
  /** @throws PARE_OPERATOR_UNSUPPORTED naming every operator that is lacking. */
  compile(graph: Graph): Promise<Executable>;
  /** Resolves when all work handed in so far is done. */
  synchronize(): Promise<void>;
  memory(): MemoryReport;
  capability<T>(ref: CapabilityRef<T>): T | undefined;
  scope(): TensorScope;
  /** Further devices that passes over many windows use beside this one. They are opened and disposed with it, and have no peers of their own. */
  readonly peers?: readonly Backend[] | undefined;
}

/** Copies between devices that the host has no part in. */
export interface TensorTransfer {
  /** A copy on this backend of a tensor of `from`, ordered after the work handed in there. Undefined where only the host can carry it. */
  receive(tensor: DeviceTensor, from: Backend): DeviceTensor | undefined;
}

/** Backends with peers may have it. */
export const tensorTransfer: CapabilityRef<TensorTransfer> = capabilityRef('tensor-transfer');

/** A copy of a tensor on another backend, straight from device to device where they can. */
export async function copyTensor(tensor: DeviceTensor, from: Backend, to: Backend): Promise<DeviceTensor> {
  return to.capability(tensorTransfer)?.receive(tensor, from) ?? to.write(await from.read(tensor), { transfer: true });
}

/**
 * What `compile` asks before it starts: that the backend lacks no operator of the graph.
 * @throws PARE_OPERATOR_UNSUPPORTED naming every operator that is lacking, with the reason
 */
export function refuseUnsupported(backend: Pick<Backend, 'id' | 'unsupported'>, graph: Graph): void {
  const lacking = backend.unsupported(graph);
  if (lacking.length === 0) return;
  const operators = [...new Set(lacking.map(({ operator, domain, reason }) => `${domain === '' ? '' : `${domain}::`}${operator} (${reason})`))];
  throw pareError('PARE_OPERATOR_UNSUPPORTED', { backend: backend.id, graph: graph.name, operators });
}

/** A scope over any backend's tensors; backends return this from `scope()`. Disposes in reverse order of registration. */
export function createTensorScope(): TensorScope {
  const owned = new Set<DeviceTensor>();
  return {
    own(tensor) {
      owned.add(tensor);
      return tensor;
    },
    keep(tensor) {
      owned.delete(tensor);
      return tensor;
    },
    [Symbol.dispose]() {
      for (const tensor of [...owned].reverse()) if (!tensor.disposed) tensor[Symbol.dispose]();
      owned.clear();
    },
  };
}

/** Keeps a backend's account of live tensors; `report` is what `Backend.memory()` returns. */
export class MemoryTally {
  #tensors = 0;
  #bytes = 0;
  #peakBytes = 0;

  added(bytes: number): void {
    this.#tensors++;
    this.#bytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
  }

  removed(bytes: number): void {
    this.#tensors--;
    this.#bytes -= bytes;
  }

  report(): MemoryReport {
    return { tensors: this.#tensors, bytes: this.#bytes, peakBytes: this.#peakBytes };
  }
}
