import type { DeviceTraits, Program } from './program.js';

/** Memory of a device. */
export interface KernelBuffer extends Disposable {
  readonly bytes: number;
}

/** A device as code sees it that brings its own programs: buffers, programs over them, and the way back. Calls take effect in order. */
export interface KernelDevice {
  readonly traits: DeviceTraits;
  /** A buffer of at least this many bytes, whose content is undefined. */
  allocate(bytes: number): KernelBuffer;
  /** Copies host data to a buffer, from `offset` bytes on. */
  write(buffer: KernelBuffer, data: ArrayBufferView, offset?: number): void;
  /** The first `bytes` of a buffer once everything asked for before is done; all of it by default. */
  read(buffer: KernelBuffer, bytes?: number): Promise<ArrayBuffer>;
  /** Starts a program over the buffers that its operands name; its temporaries are the device's business. */
  run(program: Program, buffers: Readonly<Record<string, KernelBuffer>>): void;
}
