import { pareError } from '@pare/core';
import type { WasmMemory } from './web-assembly.js';

const pageBytes = 65536;

/** Pages that a 32-bit WebAssembly memory may have: 4 GiB. */
export const maximumPages = 65536;

/** Control words at address 0 (assembly/control.ts), then the power table's and everybody's room. */
const abortWord = 3;
const failureWord = 4;
const controlBytes = 64;

/** Lays arrays out in a WebAssembly memory, one after another from the bottom; `reset` forgets them. Addresses are multiples of 64. */
export class Arena {
  readonly memory: WasmMemory;
  #next = controlBytes;

  constructor(memory: WasmMemory) {
    this.memory = memory;
  }

  /** Address of the control words. */
  readonly control = 0;

  /** Forgets everything placed at or after `address`. */
  reset(address: number = controlBytes): void {
    this.#next = address;
  }

  /** The first free address. */
  get next(): number {
    return this.#next;
  }

  /**
   * Reserves bytes; the memory grows when needed. Views made before stay valid only when no later reservation grows it, so reserve first.
   * @throws PARE_MATRIX_TOO_LARGE beyond 4 GiB
   */
  reserve(bytes: number): number {
    const address = this.#next;
    const end = address + Math.ceil(bytes / 64) * 64;
    const missing = Math.ceil(end / pageBytes) - this.memory.buffer.byteLength / pageBytes;
    if (missing > 0) {
      if (end > maximumPages * pageBytes) throw pareError('PARE_MATRIX_TOO_LARGE', { bytes: end, limit: maximumPages * pageBytes });
      this.memory.grow(missing);
    }
    this.#next = end;
    return address;
  }

  float32(address: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, address, length);
  }

  float64(address: number, length: number): Float64Array {
    return new Float64Array(this.memory.buffer, address, length);
  }

  int32(address: number, length: number): Int32Array {
    return new Int32Array(this.memory.buffer, address, length);
  }

  uint8(address: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, address, length);
  }

  /** Clears the control words before a job. */
  clearControl(): void {
    this.int32(this.control, controlBytes / 4).fill(0);
  }

  /** Asks running kernels to stop at the next block. */
  requestAbort(): void {
    Atomics.store(this.int32(this.control, controlBytes / 4), abortWord, 1);
  }

  /** Starts the tickets of a kernel from 0. */
  clearTickets(): void {
    Atomics.store(this.int32(this.control, controlBytes / 4), 2, 0);
  }

  /** 1 + the index that a kernel failed at, 0 when none did. */
  get failure(): number {
    return Atomics.load(this.int32(this.control, controlBytes / 4), failureWord);
  }
}
