import type { DType, TypedArray } from '@pare/core';
import type { InferenceSession, Tensor, TypedTensor } from 'onnxruntime-node';
import { boundaryType, narrow, widen } from './boundary-types.js';
import { sharedWords, type Answer, type Failure, type Request, type TensorKey, type WorkerSettings } from './protocol.js';

/* Runs in the worker. It imports types only from other packages, so that the worker starts without loading them. */

/** The part of onnxruntime that the device uses. */
export interface OnnxRuntime {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
}

interface StoredTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly buffer: ArrayBuffer;
}

/** A call that failed for a reason the main thread knows how to report. */
export class DeviceFailure extends Error {
  readonly reason: Failure['reason'];

  constructor(reason: Failure['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

const storage: Readonly<Record<DType, new (buffer: ArrayBuffer) => TypedArray>> = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  int4: Uint8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  uint4: Uint8Array,
  bool: Uint8Array,
};

/** Tensors and sessions of one backend. Requests are handled one after the other. */
export class Device {
  readonly #runtime: OnnxRuntime;
  readonly #settings: WorkerSettings;
  readonly #free: (buffer: ArrayBuffer) => void;
  readonly #tensors = new Map<number, StoredTensor | DeviceFailure>();
  readonly #sessions = new Map<number, InferenceSession | DeviceFailure>();

  /** `free` gives memory back at once, without waiting for a garbage collection. */
  constructor(runtime: OnnxRuntime, settings: WorkerSettings, free: (buffer: ArrayBuffer) => void) {
    this.#runtime = runtime;
    this.#settings = settings;
    this.#free = free;
  }

  async handle(request: Request): Promise<Answer> {
    switch (request.kind) {
      case 'allocate':
        this.#allocate(request);
        return undefined;
      case 'write':
        this.#tensors.set(request.id, { dtype: request.dtype, shape: request.shape, buffer: request.buffer });
        return undefined;
      case 'dispose':
        this.#dispose(request.id);
        return undefined;
      case 'release':
        return this.#release(request.session);
      case 'read':
        return this.#tensor(request.id).buffer.slice(0);
      case 'compile':
        return this.#compile(request.session, request.model);
      case 'run':
        return this.#run(request);
      case 'synchronize':
        return undefined;
      case 'close':
        return this.#close();
    }
  }

  #allocate(key: TensorKey): void {
    try {
      const count = key.shape.reduce((product, size) => product * size, 1);
      const bytes = key.dtype === 'int4' || key.dtype === 'uint4' ? Math.ceil(count / 2) : count * bytesPerElement(key.dtype);
      this.#tensors.set(key.id, { dtype: key.dtype, shape: key.shape, buffer: new ArrayBuffer(bytes) });
    } catch (error) {
      this.#tensors.set(key.id, new DeviceFailure('memory', messageOf(error)));
    }
  }

  #tensor(id: number): StoredTensor {
    const tensor = this.#tensors.get(id);
    if (tensor === undefined) throw new DeviceFailure('failed', `tensor ${String(id)} does not exist`);
    if (tensor instanceof DeviceFailure) throw tensor;
    return tensor;
  }

  #dispose(id: number): void {
    const tensor = this.#tensors.get(id);
    this.#tensors.delete(id);
    if (tensor !== undefined && !(tensor instanceof DeviceFailure)) this.#free(tensor.buffer);
  }

  async #release(session: number): Promise<undefined> {
    const found = this.#sessions.get(session);
    this.#sessions.delete(session);
    if (found !== undefined && !(found instanceof DeviceFailure)) await found.release();
    return undefined;
  }

  async #close(): Promise<undefined> {
    for (const session of [...this.#sessions.keys()]) await this.#release(session);
    for (const tensor of [...this.#tensors.keys()]) this.#dispose(tensor);
    return undefined;
  }

  async #compile(number: number, model: Uint8Array<ArrayBuffer>): Promise<undefined> {
    try {
      const session = await this.#runtime.InferenceSession.create(model, {
        executionProviders: ['cpu'],
        intraOpNumThreads: this.#settings.threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        // The arena keeps pages that intermediates touched. Without it each large intermediate is mapped afresh at every run, and page
        // faults triple the time of operators that do little arithmetic.
        enableCpuMemArena: true,
        // Memory patterns plan one block per input shape and keep it: more memory, no gain measured.
        enableMemPattern: false,
        // Failures arrive as exceptions; onnxruntime would print them as well.
        logSeverityLevel: 4,
        // Every session has its own thread pool, whose idle threads would spin and take the cores from the session that runs.
        extra: { session: { intra_op: { allow_spinning: '0' } } },
      });
      this.#sessions.set(number, session);
    } catch (error) {
      const failure = failureOf(error);
      this.#sessions.set(number, failure);
      throw failure;
    } finally {
      // onnxruntime has its own copy of what it needs.
      this.#free(model.buffer);
    }
    return undefined;
  }

  async #run(request: Extract<Request, { kind: 'run' }>): Promise<readonly TensorKey[]> {
    this.#throwIfCancelled(request.ticket);
    const session = this.#sessions.get(request.session);
    if (session === undefined) throw new DeviceFailure('failed', 'the executable was disposed');
    if (session instanceof DeviceFailure) throw session;
    const feeds: Record<string, Tensor> = {};
    for (const { name, id } of request.inputs) feeds[name] = this.#feed(this.#tensor(id));
    let results: InferenceSession.ReturnType;
    try {
      results = await session.run(
        feeds,
        request.outputs.map((output) => output.name),
      );
    } catch (error) {
      throw failureOf(error);
    }
    const keys: TensorKey[] = [];
    for (const { name, id, dtype } of request.outputs) {
      const result = results[name] as Tensor;
      const shape = [...result.dims];
      this.#tensors.set(id, { dtype, shape, buffer: ownedBuffer(dtype, result.data as TypedArray) });
      keys.push({ id, dtype, shape });
    }
    try {
      this.#throwIfCancelled(request.ticket);
    } catch (error) {
      for (const { id } of keys) this.#dispose(id);
      throw error;
    }
    return keys;
  }

  #feed(tensor: StoredTensor): Tensor {
    const type = boundaryType(tensor.dtype);
    const data = new storage[tensor.dtype](tensor.buffer);
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    return new this.#runtime.Tensor(type as 'float32', (type === tensor.dtype ? data : widen(tensor.dtype, data, count)) as Float32Array, tensor.shape) as TypedTensor<'float32'>;
  }

  #throwIfCancelled(ticket: number): void {
    const { shared } = this.#settings;
    if (Atomics.load(shared, sharedWords.cancelled(ticket)) === ticket || Atomics.load(shared, sharedWords.closing) !== 0) throw new DeviceFailure('aborted', 'the run was cancelled');
  }
}

/** The bytes of a result. onnxruntime 1.30 copies every result into a buffer of its own, which then becomes the tensor. */
function ownedBuffer(dtype: DType, data: TypedArray): ArrayBuffer {
  if (boundaryType(dtype) !== dtype) return narrow(dtype, data);
  const whole = data.byteOffset === 0 && data.byteLength === data.buffer.byteLength && data.buffer instanceof ArrayBuffer;
  return whole ? (data.buffer as ArrayBuffer) : (data.slice().buffer as ArrayBuffer);
}

function bytesPerElement(dtype: DType): number {
  return (storage[dtype] as unknown as { readonly BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Sorts what onnxruntime throws by its status text; it gives no codes. */
function failureOf(error: unknown): DeviceFailure {
  const message = messageOf(error);
  if (/bad_?alloc|failed to allocate|allocation failed|out of memory/i.test(message)) return new DeviceFailure('memory', message);
  if (/NOT_IMPLEMENTED|could not find an implementation|failed to find kernel/i.test(message)) return new DeviceFailure('unimplemented', message);
  return new DeviceFailure('failed', message);
}
