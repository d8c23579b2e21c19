import { elementCount, hostTensor, pareError, systemErrorCode, throwIfAborted, viewAs, type FileSystem, type HostTensor, type ReadableFile } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { lengthFieldBytes, parseHeader, readHeaderLength, type SafetensorsEntry, type SafetensorsHeader } from './header.js';
import { unreadable } from './read-file.js';

/**
 * A safetensors file whose header is checked and whose tensors are read by file range, on demand. Keeps the file open until it is
 * disposed; reads may run side by side.
 */
export class SafetensorsFile implements AsyncDisposable {
  readonly path: string;
  /** The header's `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly #file: ReadableFile;

  private constructor(path: string, file: ReadableFile, header: SafetensorsHeader) {
    this.path = path;
    this.metadata = header.metadata;
    this.#entries = new Map(header.entries.map((entry) => [entry.name, entry]));
    this.#file = file;
  }

  /** Opens a file and checks its header. @throws PARE_FILE_UNREADABLE, PARE_SAFETENSORS_… */
  static async open(path: string, files: FileSystem = defaultFiles): Promise<SafetensorsFile> {
    let file: ReadableFile;
    try {
      file = await files.open(path);
    } catch (cause) {
      throw unreadable(path, cause);
    }
    try {
      const prefix = new Uint8Array(lengthFieldBytes);
      const got = await file.read(prefix, 0);
      const header = new Uint8Array(readHeaderLength(path, prefix.subarray(0, got), file.bytes));
      await file.read(header, lengthFieldBytes);
      return new SafetensorsFile(path, file, parseHeader(path, header, file.bytes));
    } catch (error) {
      await file[Symbol.asyncDispose]();
      throw systemErrorCode(error) === undefined ? error : unreadable(path, error);
    }
  }

  /** Tensor names in the order of their bytes. */
  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /** Type, shape and place of a tensor. @throws PARE_TENSOR_UNKNOWN */
  info(name: string): SafetensorsEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw pareError('PARE_TENSOR_UNKNOWN', { tensor: name, model: this.path });
    return entry;
  }

  /** A tensor, in a fresh array of its stored type. @throws PARE_TENSOR_UNKNOWN, PARE_SAFETENSORS_TRUNCATED, PARE_FILE_UNREADABLE */
  async read(name: string, signal?: AbortSignal): Promise<HostTensor> {
    const { dtype, shape, byteLength } = this.info(name);
    const bytes = await this.readBytes(name, 0, byteLength, signal);
    return hostTensor(dtype, shape, viewAs(dtype, bytes.buffer, 0, elementCount(shape)));
  }

  /** Bytes `start` (inclusive) to `end` (exclusive) of a tensor, in a fresh array. */
  async readBytes(name: string, start: number, end: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    throwIfAborted(signal, `reading ${name}`);
    const { byteOffset, byteLength } = this.info(name);
    if (start < 0 || end > byteLength || start > end) {
      throw new RangeError(`bytes ${String(start)}…${String(end)} of "${name}", which has ${String(byteLength)}`);
    }
    const bytes = new Uint8Array(end - start);
    let got: number;
    try {
      got = await this.#file.read(bytes, byteOffset + start);
    } catch (cause) {
      throw unreadable(this.path, cause);
    }
    // The header was true when the file was opened: somebody shortened the file since.
    if (got < bytes.length) {
      throw pareError('PARE_SAFETENSORS_TRUNCATED', { file: this.path, found: byteOffset + start + got, needed: byteOffset + end });
    }
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}
