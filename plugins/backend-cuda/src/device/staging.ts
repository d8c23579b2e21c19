import type { Driver } from '../libraries/driver.js';

/* Memory of the host that the device reaches by itself: copies from and to it need no processor, and what others wait for is in flight at once. */

interface Pinned {
  readonly address: number;
  readonly bytes: Uint8Array;
}

function pin(driver: Driver, bytes: number): Pinned {
  const address = driver.make('cuMemHostAlloc', bytes, 0);
  return { address, bytes: driver.view(address, bytes) };
}

const pieceBytes = 2 ** 23;
const pieces = 4;

/** Copies to the device through a few pieces that take turns. */
export class UploadRing {
  readonly #driver: Driver;
  readonly #stream: number;
  readonly #pieces: { readonly memory: Pinned; readonly event: number; busy: boolean }[] = [];
  #current = 0;
  #used = 0;

  constructor(driver: Driver, stream: number) {
    this.#driver = driver;
    this.#stream = stream;
  }

  /** Copies bytes to an address of the device. The array may change afterwards. */
  write(address: number, bytes: Uint8Array): void {
    for (let start = 0; start < bytes.byteLength; ) {
      const { memory } = this.#piece();
      const count = Math.min(bytes.byteLength - start, pieceBytes - this.#used);
      memory.bytes.set(bytes.subarray(start, start + count), this.#used);
      this.#driver.call('cuMemcpyHtoDAsync_v2', address + start, memory.address + this.#used, count, this.#stream);
      // The next one begins at a whole line of memory.
      this.#used = Math.min(pieceBytes, Math.ceil((this.#used + count) / 64) * 64);
      start += count;
    }
  }

  dispose(): void {
    for (const { memory, event } of this.#pieces.splice(0)) {
      this.#driver.call('cuEventDestroy_v2', event);
      this.#driver.call('cuMemFreeHost', memory.address);
    }
  }

  /** The piece with room left. */
  #piece(): { readonly memory: Pinned } {
    const current = this.#pieces[this.#current];
    if (current !== undefined && this.#used < pieceBytes) return current;
    if (current !== undefined) {
      this.#driver.call('cuEventRecord', current.event, this.#stream);
      current.busy = true;
      this.#current = (this.#current + 1) % pieces;
    }
    this.#used = 0;
    let next = this.#pieces[this.#current];
    if (next === undefined) this.#pieces.push((next = { memory: pin(this.#driver, pieceBytes), event: this.#driver.make('cuEventCreate', 2), busy: false }));
    if (next.busy) this.#driver.call('cuEventSynchronize', next.event);
    next.busy = false;
    return next;
  }
}

/** Largest copy from the device that is staged. */
const largestDownload = 2 ** 26;
/** Staging of one size that is kept. */
const kept = 4;

/** Pinned memory for copies from the device, by size. */
export class DownloadStaging {
  readonly #driver: Driver;
  readonly #free = new Map<number, Pinned[]>();

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** Memory for so many bytes; undefined where that is too much to pin. */
  take(bytes: number): Pinned | undefined {
    if (bytes > largestDownload) return undefined;
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(bytes)));
    return this.#free.get(size)?.pop() ?? pin(this.#driver, size);
  }

  give(memory: Pinned): void {
    const list = this.#free.get(memory.bytes.length) ?? [];
    if (list.length >= kept) {
      this.#driver.call('cuMemFreeHost', memory.address);
      return;
    }
    list.push(memory);
    this.#free.set(memory.bytes.length, list);
  }

  dispose(): void {
    for (const list of this.#free.values()) for (const { address } of list) this.#driver.call('cuMemFreeHost', address);
    this.#free.clear();
  }
}
