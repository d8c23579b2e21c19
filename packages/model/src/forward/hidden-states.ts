import { copyTensor, hostTensor, tensorBytes, viewAs, type Backend, type DeviceTensor, type FileSystem, type HostTensor, type ScratchFile } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import type { WindowChunk } from './windows.js';

export interface HiddenStatesOptions {
  readonly backend: Backend;
  /** Devices that take their share of the chunks beside it. */
  readonly peers?: readonly Backend[] | undefined;
  readonly hiddenSize: number;
  readonly chunks: readonly WindowChunk[];
  /** Bytes of all chunks together above which they wait in a file instead of on the devices. */
  readonly spillBytes: number;
  /** Where that file lies; the system's own files by default. */
  readonly files?: FileSystem | undefined;
  /** Its folder; the one for temporary files by default. */
  readonly spillDirectory?: string | undefined;
}

/** A chunk on the device. Disposing it ends the loan, not the chunk. */
export interface BorrowedChunk extends Disposable {
  readonly tensor: DeviceTensor;
}

/**
 * Hidden states of all windows between two blocks: one float32 tensor [windows, length, hidden] a chunk. Small sets stay on the device, or on several in turns; larger ones lie in
 * a file and come to a device one chunk at a time.
 */
export class HiddenStates implements AsyncDisposable {
  readonly hiddenSize: number;
  readonly chunks: readonly WindowChunk[];
  /** True when the chunks lie in a file. */
  readonly spilled: boolean;
  readonly #devices: readonly Backend[];
  readonly #tensors: (DeviceTensor | undefined)[];
  readonly #spillBytes: number;
  readonly #spillDirectory: string | undefined;
  readonly #files: FileSystem;
  #file: Promise<ScratchFile> | undefined;

  constructor({ backend, peers = [], hiddenSize, chunks, spillBytes, spillDirectory, files = defaultFiles }: HiddenStatesOptions) {
    this.hiddenSize = hiddenSize;
    this.chunks = chunks;
    this.#devices = [backend, ...peers];
    this.#tensors = chunks.map(() => undefined);
    this.#spillDirectory = spillDirectory;
    this.#files = files;
    this.#spillBytes = spillBytes;
    this.spilled = this.bytes > spillBytes;
  }

  /** Bytes of all chunks. */
  get bytes(): number {
    return this.chunks.reduce((sum, _, index) => sum + this.#chunkBytes(index), 0);
  }

  get windows(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.count, 0);
  }

  get tokens(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.count * chunk.length, 0);
  }

  /** Shape of a chunk: [windows, length, hidden]. */
  shape(chunk: number): [number, number, number] {
    const { count, length } = this.chunks[chunk]!;
    return [count, length, this.hiddenSize];
  }

  /** Index of the device that a chunk is computed on, 0 for the backend itself. */
  place(chunk: number): number {
    return chunk % this.#devices.length;
  }

  /** Sets a chunk from host memory. The tensor is used up. */
  async write(chunk: number, tensor: HostTensor): Promise<void> {
    if (this.spilled) await this.#spill(chunk, tensor);
    else this.#keep(chunk, this.#home(chunk).write(tensor, { transfer: true }));
  }

  /** Sets a chunk by a tensor on the device that it is computed on. The tensor becomes the chunk's, and what was there before is disposed. */
  async replace(chunk: number, tensor: DeviceTensor): Promise<void> {
    if (!this.spilled) {
      this.#keep(chunk, tensor);
      return;
    }
    try {
      await this.#spill(chunk, await this.#home(chunk).read(tensor));
    } finally {
      tensor[Symbol.dispose]();
    }
  }

  /** A chunk on a device, the backend itself by default, until the loan is disposed. */
  async borrow(chunk: number, on: Backend = this.#devices[0]!): Promise<BorrowedChunk> {
    const copied = (tensor: DeviceTensor): BorrowedChunk => ({ tensor, [Symbol.dispose]: () => tensor[Symbol.dispose]() });
    if (this.spilled) return copied(on.write(await this.#load(chunk), { transfer: true }));
    const tensor = this.#tensors[chunk];
    if (tensor === undefined) throw new Error(`chunk ${String(chunk)} of the hidden states was never written`);
    const home = this.#home(chunk);
    return home === on ? { tensor, [Symbol.dispose]: () => undefined } : copied(await copyTensor(tensor, home, on));
  }

  /** Lends a chunk to `work`, on a device, the backend itself by default. */
  async use<T>(chunk: number, work: (tensor: DeviceTensor) => Promise<T>, on?: Backend): Promise<T> {
    using loan = await this.borrow(chunk, on);
    return await work(loan.tensor);
  }

  /** Those of some chunks (all by default) that may be on a device together: all of them, or as many neighbours as stay within the spill limit (at least one). */
  groups(chunks: Iterable<number> = this.chunks.keys()): number[][] {
    const groups: number[][] = [];
    let bytes = Infinity;
    for (const chunk of chunks) {
      bytes += this.#chunkBytes(chunk);
      if (bytes > this.#spillBytes) {
        groups.push([]);
        bytes = this.#chunkBytes(chunk);
      }
      groups.at(-1)!.push(chunk);
    }
    return groups;
  }

  /** A chunk in host memory. */
  async read(chunk: number): Promise<HostTensor> {
    const home = this.#home(chunk);
    return this.spilled ? this.#load(chunk) : this.use(chunk, (tensor) => home.read(tensor), home);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [chunk, tensor] of this.#tensors.entries()) {
      tensor?.[Symbol.dispose]();
      this.#tensors[chunk] = undefined;
    }
    const file = this.#file;
    this.#file = undefined;
    await (await file?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }

  #home(chunk: number): Backend {
    return this.#devices[this.place(chunk)]!;
  }

  #keep(chunk: number, tensor: DeviceTensor): void {
    this.#tensors[chunk]?.[Symbol.dispose]();
    this.#tensors[chunk] = tensor;
  }

  async #spill(chunk: number, tensor: HostTensor): Promise<void> {
    // One file, whichever of several devices is first.
    const file = await (this.#file ??= this.#files.scratch(this.#spillDirectory));
    await file.write(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength), this.#offset(chunk));
  }

  async #load(chunk: number): Promise<HostTensor> {
    const file = await this.#file;
    if (file === undefined) throw new Error(`chunk ${String(chunk)} of the hidden states was never written`);
    const shape = this.shape(chunk);
    const bytes = new Uint8Array(this.#chunkBytes(chunk));
    if ((await file.read(bytes, this.#offset(chunk))) < bytes.length) throw new Error('the file of hidden states is shorter than it was written');
    return hostTensor('float32', shape, viewAs('float32', bytes.buffer, 0, bytes.byteLength / 4));
  }

  #chunkBytes(chunk: number): number {
    return tensorBytes({ dtype: 'float32', shape: this.shape(chunk) });
  }

  #offset(chunk: number): number {
    let offset = 0;
    for (let index = 0; index < chunk; index++) offset += this.#chunkBytes(index);
    return offset;
  }
}
