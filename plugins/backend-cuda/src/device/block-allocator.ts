/** Memory of the device, or a part of it. */
export interface Block {
  readonly address: number;
  readonly bytes: number;
  /** Number of the last submission that uses it. */
  lastUse: number;
}

/** Where blocks come from. */
export interface BlockSource {
  /** An address, or undefined when there is not enough memory. */
  readonly allocate: (bytes: number) => number | undefined;
  readonly free: (address: number) => void;
}

/**
 * Blocks of device memory that are used again: allocating takes the driver long, and freeing waits for the device. Blocks given back are kept until memory runs out.
 */
export class BlockAllocator {
  readonly #source: BlockSource;
  /** Blocks given back, by size ascending. */
  readonly #free: Block[] = [];
  #reserved = 0;

  constructor(source: BlockSource) {
    this.#source = source;
  }

  /** Bytes taken from the driver. */
  get reservedBytes(): number {
    return this.#reserved;
  }

  /** A block of at least these bytes, wasting an eighth at most; undefined when memory does not suffice even without what is kept. */
  allocate(bytes: number): Block | undefined {
    const index = this.#free.findIndex((block) => block.bytes >= bytes);
    if (index !== -1 && this.#free[index]!.bytes <= bytes + Math.max(256, bytes / 8)) return this.#free.splice(index, 1)[0]!;
    let address = this.#source.allocate(bytes);
    if (address === undefined) {
      this.trim();
      address = this.#source.allocate(bytes);
    }
    if (address === undefined) return undefined;
    this.#reserved += bytes;
    return { address, bytes, lastUse: 0 };
  }

  release(block: Block): void {
    const index = this.#free.findIndex(({ bytes }) => bytes >= block.bytes);
    this.#free.splice(index === -1 ? this.#free.length : index, 0, block);
  }

  /** Gives everything that is kept back to the driver. */
  trim(): void {
    for (const { address, bytes } of this.#free.splice(0)) {
      this.#reserved -= bytes;
      this.#source.free(address);
    }
  }
}
