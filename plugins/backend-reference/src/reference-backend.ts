import {
  createTensorScope,
  hostTensor,
  refuseUnsupported,
  type Backend,
  type CapabilityRef,
  type DeviceInfo,
  type DeviceTensor,
  type DType,
  type Executable,
  type Graph,
  type HostTensor,
  type MemoryReport,
  type TensorScope,
  type UnsupportedOperator,
} from '@pare/core';
import { inferTypes } from '@pare/graph';
import { unsupportedOperators } from '@pare/operators';
import { borrow, DeviceMemory } from './device-memory.js';
import { loadConstants, ReferenceExecutable } from './executable.js';

export const referenceDevice: DeviceInfo = { name: 'scalar TypeScript', memoryBytes: undefined, parallelism: 1 };

/** Runs graphs one node at a time with the kernels of `@pare/operators`, on host memory. */
export class ReferenceBackend implements Backend {
  readonly id = 'reference';
  readonly device = referenceDevice;
  readonly #memory = new DeviceMemory('reference');

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    return this.#memory.adopt(hostTensor(dtype, shape));
  }

  write(tensor: HostTensor, options: { readonly transfer?: boolean } = {}): DeviceTensor {
    return this.#memory.adopt(hostTensor(tensor.dtype, tensor.shape, options.transfer === true ? tensor.data : tensor.data.slice()));
  }

  read(tensor: DeviceTensor): Promise<HostTensor> {
    // Checked at once: a tensor disposed before the promise is awaited has been read in time.
    try {
      const host = borrow(this.#memory, tensor, 'read');
      return Promise.resolve({ ...host, data: host.data.slice() });
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  unsupported(graph: Graph): readonly UnsupportedOperator[] {
    return unsupportedOperators(graph);
  }

  async compile(graph: Graph): Promise<Executable> {
    refuseUnsupported(this, graph);
    inferTypes(graph);
    return new ReferenceExecutable(graph, await loadConstants(graph), this.#memory);
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
