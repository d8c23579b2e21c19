import {
  createTensorScope,
  hostTensor,
  MemoryTally,
  refuseUnsupported,
  tensorBytes,
  tensorTransfer,
  type Backend,
  type CapabilityRef,
  type DeviceInfo,
  type DeviceTensor,
  type DType,
  type Executable,
  type Graph,
  type HostTensor,
  type Logger,
  type MemoryReport,
  type TensorScope,
  type TensorTransfer,
  type UnsupportedOperator,
} from '@pare/core';
import { inferTypes } from '@pare/graph';
import { unsupportedOperators } from '@pare/operators';
import type { KernelDevice } from './device.js';
import { devicePrograms, type DevicePrograms } from './device-programs.js';
import { ExecutorTensor, foreignTensor, Storage } from './device-tensor.js';
import { download, ExecutorExecutable, type ExecutorContext } from './executable.js';
import type { KernelLanguage } from './kernels/generated.js';
import { findFallbacks } from './lowering/fallbacks.js';
import { BufferPool } from './planning/buffer-pool.js';
import { bytesOf } from './planning/plan.js';
import { createDevicePrograms } from './program-runner.js';
import type { RoutineTable } from './routines.js';

export interface ExecutorBackendOptions {
  readonly id: string;
  readonly device: KernelDevice;
  readonly language: KernelLanguage;
  readonly routines: RoutineTable;
  /** Told, once for each reason, of nodes that run on the host instead. */
  readonly log?: Pick<Logger, 'warn'> | undefined;
  /** Extra powers made of programs, by the id of their capability; each is made when it is first asked for. */
  readonly capabilities?: Readonly<Record<string, (programs: DevicePrograms) => unknown>> | undefined;
  /** Opened beside it; the backend disposes them. */
  readonly peers?: readonly ExecutorBackend[] | undefined;
}

/** A backend over a kernel device: what WebGPU and CUDA share. */
export class ExecutorBackend implements Backend {
  readonly id: string;
  readonly device: DeviceInfo;
  readonly peers: readonly ExecutorBackend[];
  readonly #device: KernelDevice;
  readonly #pool: BufferPool;
  readonly #tally = new MemoryTally();
  readonly #context: ExecutorContext;
  readonly #factories: Readonly<Record<string, (programs: DevicePrograms) => unknown>>;
  readonly #capabilities = new Map<string, unknown>();
  #programs: DevicePrograms | undefined;
  #disposed = false;

  constructor({ id, device, language, routines, log, capabilities = {}, peers = [] }: ExecutorBackendOptions) {
    this.id = id;
    this.device = device.info;
    this.peers = peers;
    this.#device = device;
    this.#pool = new BufferPool(device);
    const transfer: TensorTransfer = { receive: (tensor, from) => this.#receive(tensor, from) };
    this.#factories = { ...capabilities, [devicePrograms.id]: (programs) => programs, ...(device.receive === undefined ? {} : { [tensorTransfer.id]: () => transfer }) };
    const told = new Set<string>();
    const warn = (message: string): void => {
      if (told.has(message)) return;
      told.add(message);
      log?.warn(message);
    };
    this.#context = { id, device, pool: this.#pool, tally: this.#tally, target: { language, routines, traits: device.traits }, warn };
  }

  /** Buffers created on the device so far; stands still in a steady loop. */
  get buffersCreated(): number {
    return this.#pool.created;
  }

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    const bytes = Math.max(4, Math.ceil(tensorBytes({ dtype, shape }) / 4) * 4);
    const buffer = this.#pool.acquire(bytes);
    this.#device.clear(buffer, bytes);
    return new ExecutorTensor(this.#device, this.#tally, dtype, shape, new Storage(this.#pool, buffer));
  }

  write(tensor: HostTensor): DeviceTensor {
    const { dtype, shape, data } = hostTensor(tensor.dtype, tensor.shape, tensor.data);
    const buffer = this.#pool.acquire(Math.max(4, data.byteLength));
    this.#device.upload(buffer, bytesOf({ dtype, shape, data }));
    return new ExecutorTensor(this.#device, this.#tally, dtype, shape, new Storage(this.#pool, buffer));
  }

  async read(tensor: DeviceTensor): Promise<HostTensor> {
    if (!(tensor instanceof ExecutorTensor)) throw foreignTensor(this.id, 'read');
    // Held while the copy is on its way: a tensor disposed meanwhile has been read in time.
    const storage = tensor.storage(this.#device, this.id, 'read').hold();
    try {
      return await download(this.#device, storage.buffer, tensor.dtype, tensor.shape);
    } finally {
      storage.release();
    }
  }

  unsupported(graph: Graph): readonly UnsupportedOperator[] {
    return unsupportedOperators(graph);
  }

  fallbacks(graph: Graph): readonly UnsupportedOperator[] {
    return findFallbacks(graph, this.#device.traits.language);
  }

  async compile(graph: Graph): Promise<Executable> {
    refuseUnsupported(this, graph);
    inferTypes(graph);
    return ExecutorExecutable.create(graph, this.#context);
  }

  async synchronize(): Promise<void> {
    await this.#device.idle();
    await this.#device.settle();
  }

  memory(): MemoryReport {
    return this.#tally.report();
  }

  capability<T>(ref: CapabilityRef<T>): T | undefined {
    const factory = Object.hasOwn(this.#factories, ref.id) ? this.#factories[ref.id] : undefined;
    if (factory === undefined) return undefined;
    if (!this.#capabilities.has(ref.id)) {
      this.#programs ??= createDevicePrograms(this.#context);
      this.#capabilities.set(ref.id, factory(this.#programs));
    }
    return this.#capabilities.get(ref.id) as T;
  }

  scope(): TensorScope {
    return createTensorScope();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const peer of this.peers) await peer[Symbol.asyncDispose]();
    await this.#device.idle().catch(() => undefined);
    this.#pool.trim();
    await this.#device[Symbol.asyncDispose]();
  }

  #receive(tensor: DeviceTensor, from: Backend): DeviceTensor | undefined {
    if (!(from instanceof ExecutorBackend) || !(tensor instanceof ExecutorTensor)) return undefined;
    const { dtype, shape, byteLength } = tensor;
    const source = tensor.storage(from.#device, from.id, 'a copy to another device').buffer;
    const buffer = this.#pool.acquire(Math.max(4, byteLength));
    if (this.#device.receive!(buffer, source, from.#device, byteLength)) return new ExecutorTensor(this.#device, this.#tally, dtype, shape, new Storage(this.#pool, buffer));
    this.#pool.release(buffer);
    return undefined;
  }
}

