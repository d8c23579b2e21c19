import { MemoryTally, pareError, tensorBytes, type DeviceTensor, type DType, type HostTensor } from '@pare/core';

/** Counts bytes as if tensors had storage. */
export class NullMemory extends MemoryTally {
  readonly backend = 'null';
}

/** A type and a shape. Small tensors also keep the values they were written with, because shapes may depend on them. */
export class NullTensor implements DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #memory: NullMemory;
  readonly #values: HostTensor | undefined;
  #disposed = false;

  constructor(memory: NullMemory, dtype: DType, shape: readonly number[], values?: HostTensor) {
    this.dtype = dtype;
    this.shape = [...shape];
    this.byteLength = tensorBytes({ dtype, shape });
    this.#memory = memory;
    this.#values = values;
    memory.added(this.byteLength);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** The values that were kept, if any. */
  borrow(memory: NullMemory, operation: string): HostTensor | undefined {
    if (memory !== this.#memory) throw new TypeError(`${operation} on backend "null" got a tensor of another backend; copy it with read() and write()`);
    if (this.#disposed) throw pareError('PARE_TENSOR_DISPOSED', { operation, backend: memory.backend });
    return this.#values;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#memory.removed(this.byteLength);
  }
}

export function borrow(memory: NullMemory, tensor: DeviceTensor, operation: string): HostTensor | undefined {
  if (tensor instanceof NullTensor) return tensor.borrow(memory, operation);
  throw new TypeError(`${operation} on backend "null" got a tensor of another backend; copy it with read() and write()`);
}
