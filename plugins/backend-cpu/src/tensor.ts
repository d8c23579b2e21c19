import { pareError, tensorBytes, type DType, type DeviceTensor } from '@pare/core';
import type { TensorLedger } from './ledger.js';

/** The main thread's handle of a tensor in the worker. */
export class CpuTensor implements DeviceTensor {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly #ledger: TensorLedger;
  #disposed = false;

  constructor(ledger: TensorLedger, id: number, dtype: DType, shape: readonly number[]) {
    this.#ledger = ledger;
    this.id = id;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.byteLength = tensorBytes(this);
    ledger.add(this);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** True when the tensor lives on the backend that keeps this ledger. */
  belongsTo(ledger: TensorLedger): boolean {
    return this.#ledger === ledger;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#ledger.remove(this);
  }
}

/**
 * The handle behind `tensor`, when it is one of the ledger's.
 * @throws PARE_TENSOR_MISMATCH for tensors of other backends.
 */
export function ownTensor(tensor: DeviceTensor, ledger: TensorLedger, graph: string, input: string): CpuTensor {
  if (tensor instanceof CpuTensor && tensor.belongsTo(ledger)) return tensor;
  throw pareError('PARE_TENSOR_MISMATCH', { graph, input, found: 'a tensor of another backend', expected: 'a tensor that the backend of this graph made' });
}
