import { MemoryTally, pareError, tensorBytes, type DeviceTensor, type DType, type HostTensor } from '@pare/core';

/** The live tensors of one backend. */
export class DeviceMemory extends MemoryTally {
  readonly backend: string;

  constructor(backend: string) {
    super();
    this.backend = backend;
  }

  /** Puts a host tensor on the device without copying it. */
  adopt(tensor: HostTensor): ReferenceTensor {
    return new ReferenceTensor(this, tensor);
  }
}

/** A device tensor that is a host tensor behind a handle. Its storage is never written, so that results may share it. */
export class ReferenceTensor implements DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #memory: DeviceMemory;
  #host: HostTensor | undefined;

  constructor(memory: DeviceMemory, host: HostTensor) {
    this.dtype = host.dtype;
    this.shape = [...host.shape];
    this.byteLength = tensorBytes(host);
    this.#memory = memory;
    this.#host = host;
    memory.added(this.byteLength);
  }

  get disposed(): boolean {
    return this.#host === undefined;
  }

  /** The tensor's values for `operation` of the backend whose memory is `memory`. */
  borrow(memory: DeviceMemory, operation: string): HostTensor {
    if (memory !== this.#memory)
      throw new TypeError(`${operation} on backend "${memory.backend}" got a tensor of another backend; copy it with read() and write()`);
    if (this.#host === undefined) throw pareError('PARE_TENSOR_DISPOSED', { operation, backend: memory.backend });
    return this.#host;
  }

  [Symbol.dispose](): void {
    if (this.#host === undefined) return;
    this.#host = undefined;
    this.#memory.removed(this.byteLength);
  }
}

/** The host tensor behind a device tensor of this backend. */
export function borrow(memory: DeviceMemory, tensor: DeviceTensor, operation: string): HostTensor {
  if (tensor instanceof ReferenceTensor) return tensor.borrow(memory, operation);
  throw new TypeError(`${operation} on backend "${memory.backend}" got a tensor of another backend; copy it with read() and write()`);
}
