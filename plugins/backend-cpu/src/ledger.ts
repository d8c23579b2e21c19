import type { DeviceTensor, MemoryReport } from '@pare/core';

/** Counts live tensors. */
export class TensorLedger {
  readonly #onRemove: (id: number) => void;
  #lastId = 0;
  #tensors = 0;
  #bytes = 0;
  #peakBytes = 0;

  /** `onRemove` hears of every tensor that is disposed. */
  constructor(onRemove: (id: number) => void) {
    this.#onRemove = onRemove;
  }

  nextId(): number {
    return ++this.#lastId;
  }

  add(tensor: Pick<DeviceTensor, 'byteLength'>): void {
    this.#tensors++;
    this.#bytes += tensor.byteLength;
    this.#peakBytes = Math.max(this.#peakBytes, this.#bytes);
  }

  remove(tensor: Pick<DeviceTensor, 'byteLength'> & { readonly id: number }): void {
    this.#tensors--;
    this.#bytes -= tensor.byteLength;
    this.#onRemove(tensor.id);
  }

  report(): MemoryReport {
    return { tensors: this.#tensors, bytes: this.#bytes, peakBytes: this.#peakBytes };
  }
}
