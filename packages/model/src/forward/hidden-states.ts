import { hostTensor, tensorBytes, viewAs, type Backend, type DeviceTensor, type FileSystem, type HostTensor, type ScratchFile } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import type { WindowChunk } from './windows.js';

export interface HiddenStatesOptions {
  readonly backend: Backend;
  readonly hiddenSize: number;
  readonly chunks: readonly WindowChunk[];
  /** Bytes of all chunks together above which they wait in a file instead of on the device. */
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
 * Hidden states of all windows between two blocks: one float32 tensor [windows, length, hidden] a chunk. Small sets stay on the device; larger ones lie in
 * a file and come to the device one chunk at a time.
 */
export class HiddenStates implements AsyncDisposable {
  readonly hiddenSize: number;
  readonly chunks: readonly WindowChunk[];
  /** True when the chunks lie in a file. */
  readonly spilled: boolean;
  readonly #backend: Backend;
  readonly #tensors: (DeviceTensor | undefined)[];
  readonly #spillBytes: number;
  readonly #spillDirectory: string | undefined;
  readonly #files: FileSystem;
  #file: ScratchFile | undefined;

  constructor({ backend, hiddenSize, chunks, spillBytes, spillDirectory, files = defaultFiles }: HiddenStatesOptions) {
    this.hiddenSize = hiddenSize;
    this.chunks = chunks;
    this.#backend = backend;
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

  /** Sets a chunk from host memory. The tensor is used up. */
  async write(chunk: number, tensor: HostTensor): Promise<void> {
    if (this.spilled) await this.#spill(chunk, tensor);
    else this.#keep(chunk, this.#backend.write(tensor, { transfer: true }));
  }

  /** Sets a chunk. The tensor becomes the chunk's, and what was there before is disposed. */
  async replace(chunk: number, tensor: DeviceTensor): Promise<void> {
    if (!this.spilled) {
      this.#keep(chunk, tensor);
      return;
    }
    try {
      await this.#spill(chunk, await this.#backend.read(tensor));
    } finally {
      tensor[Symbol.dispose]();
    }
  }

  /** A chunk on the device until the loan is disposed. */
  async borrow(chunk: number): Promise<BorrowedChunk> {
    if (this.spilled) {
      const tensor = this.#backend.write(await this.#load(chunk), { transfer: true });
      return { tensor, [Symbol.dispose]: () => tensor[Symbol.dispose]() };
    }
    const tensor = this.#tensors[chunk];
    if (tensor === undefined) throw new Error(`chunk ${String(chunk)} of the hidden states was never written`);
    return { tensor, [Symbol.dispose]: () => undefined };
  }

  /** Lends a chunk to `work`, on the device. */
  async use<T>(chunk: number, work: (tensor: DeviceTensor) => Promise<T>): Promise<T> {
    using loan = await this.borrow(chunk);
    return await work(loan.tensor);
  }

  /** Consecutive chunks that may be on the device together: all of them, or as many as stay within the spill limit (at least one). */
  groups(): number[][] {
    const groups: number[][] = [];
    let bytes = Infinity;
    for (const chunk of this.chunks.keys()) {
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
    return this.spilled ? this.#load(chunk) : this.use(chunk, (tensor) => this.#backend.read(tensor));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [chunk, tensor] of this.#tensors.entries()) {
      tensor?.[Symbol.dispose]();
      this.#tensors[chunk] = undefined;
    }
    const file = this.#file;
    this.#file = undefined;
    await file?.[Symbol.asyncDispose]();
  }

  #keep(chunk: number, tensor: DeviceTensor): void {
    this.#tensors[chunk]?.[Symbol.dispose]();
    this.#tensors[chunk] = tensor;
  }

  async #spill(chunk: number, tensor: HostTensor): Promise<void> {
    this.#file ??= await this.#files.scratch(this.#spillDirectory);
    await this.#file.write(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength), this.#offset(chunk));
  }

  async #load(chunk: number): Promise<HostTensor> {
    if (this.#file === undefined) throw new Error(`chunk ${String(chunk)} of the hidden states was never written`);
    const shape = this.shape(chunk);
    const bytes = new Uint8Array(this.#chunkBytes(chunk));
    if ((await this.#file.read(bytes, this.#offset(chunk))) < bytes.length) throw new Error('the file of hidden states is shorter than it was written');
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
