import { isPareError } from '@pare/core';
import type { DeviceBuffer, KernelDevice } from '../device.js';

/**
 * Buffers that are used again. Sizes are rounded up to eighths of a power of two, so that tensors of nearly equal size share buffers; what is free beyond `keepBytes`
 * is given back to the device, longest unused first.
 */
export class BufferPool {
  readonly #device: KernelDevice;
  readonly #keepBytes: number;
  /** Free buffers by size, least recently used size first. */
  readonly #free = new Map<number, DeviceBuffer[]>();
  #freeBytes = 0;
  #created = 0;

  constructor(device: KernelDevice, keepBytes = 2 ** 30) {
    this.#device = device;
    this.#keepBytes = keepBytes;
  }

  /** Buffers created so far; stands still in a steady loop. */
  get created(): number {
    return this.#created;
  }

  /** A buffer of at least these bytes, of undefined content. */
  acquire(bytes: number): DeviceBuffer {
    const size = roundedSize(bytes);
    const list = this.#free.get(size);
    const buffer = list?.pop();
    if (buffer !== undefined) {
      if (list!.length === 0) this.#free.delete(size);
      this.#freeBytes -= size;
      return buffer;
    }
    this.#created++;
    try {
      return this.#device.createBuffer(size);
    } catch (error) {
      // What lies here unused may be what is missing.
      if (this.#freeBytes === 0 || !isPareError(error) || error.code !== 'PARE_BACKEND_OUT_OF_MEMORY') throw error;
      this.trim();
      return this.#device.createBuffer(size);
    }
  }

  release(buffer: DeviceBuffer): void {
    const list = this.#free.get(buffer.bytes) ?? [];
    list.push(buffer);
    this.#free.delete(buffer.bytes);
    this.#free.set(buffer.bytes, list);
    this.#freeBytes += buffer.bytes;
    this.#trimTo(this.#keepBytes);
  }

  /** Gives all free buffers back. */
  trim(): void {
    this.#trimTo(0);
  }

  #trimTo(bytes: number): void {
    for (const [size, list] of this.#free) {
      while (this.#freeBytes > bytes) {
        const buffer = list.shift();
        if (buffer === undefined) break;
        this.#freeBytes -= size;
        this.#device.destroyBuffer(buffer);
      }
      if (list.length === 0) this.#free.delete(size);
      if (this.#freeBytes <= bytes) return;
    }
  }
}

/** Bytes of the pooled buffer for a tensor. */
export function roundedSize(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
