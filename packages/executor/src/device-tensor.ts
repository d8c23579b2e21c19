import { pareError, tensorBytes, type DeviceTensor, type DType, type MemoryTally } from '@pare/core';
import type { DeviceBuffer } from './device.js';
import type { BufferPool } from './planning/buffer-pool.js';

/** A buffer that several tensors may share; it returns to the pool with the last of them. */
export class Storage {
  readonly buffer: DeviceBuffer;
  readonly #pool: BufferPool;
  #holders = 0;

  constructor(pool: BufferPool, buffer: DeviceBuffer) {
    this.#pool = pool;
    this.buffer = buffer;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.#pool.release(this.buffer);
  }
}

/** A tensor on a kernel device: a whole buffer, row-major. Its elements are never written again once it is handed out. */
export class ExecutorTensor implements DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #tally: MemoryTally;
  readonly #owner: object;
  #storage: Storage | undefined;

  constructor(owner: object, tally: MemoryTally, dtype: DType, shape: readonly number[], storage: Storage) {
    this.dtype = dtype;
    this.shape = [...shape];
    this.byteLength = tensorBytes({ dtype, shape });
    this.#owner = owner;
    this.#tally = tally;
    this.#storage = storage.hold();
    tally.added(this.byteLength);
  }

  get disposed(): boolean {
    return this.#storage === undefined;
  }

  /** The memory behind the tensor, for `operation` of its backend. @throws PARE_TENSOR_DISPOSED, TypeError for another backend's tensor */
  storage(owner: object, backend: string, operation: string): Storage {
    if (owner !== this.#owner) throw foreignTensor(backend, operation);
    if (this.#storage === undefined) throw pareError('PARE_TENSOR_DISPOSED', { operation, backend });
    return this.#storage;
  }

  [Symbol.dispose](): void {
    if (this.#storage === undefined) return;
    this.#storage.release();
    this.#storage = undefined;
    this.#tally.removed(this.byteLength);
  }
}

export function foreignTensor(backend: string, operation: string): TypeError {
  return new TypeError(`${operation} on backend "${backend}" got a tensor of another backend; copy it with read() and write()`);
}
