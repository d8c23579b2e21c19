import type { DeviceInfo } from '@pare/core';
import type { DeviceTraits, KernelSource } from './program.js';

/* What a kernel language's device does for the executor. Everything above it (lowering, planning, tensors) is shared. */

/** Memory of a device. */
export interface DeviceBuffer {
  readonly bytes: number;
}

/** A window of a buffer as a kernel sees it. */
export interface BoundOperand {
  readonly buffer: DeviceBuffer;
  readonly access: 'read' | 'write';
  readonly offset: number;
  readonly bytes: number;
}

/** A kernel that a device has compiled for one way to bind its operands. */
export interface PreparedKernel {
  readonly name: string;
}

/** A kernel with its buffers. */
export interface Launch {
  /** What this device's `prepare` gave. */
  readonly kernel: PreparedKernel;
  readonly operands: readonly BoundOperand[];
  /** Uniforms in a buffer, bound after the operands. */
  readonly uniforms: BoundOperand | undefined;
  readonly workgroups: readonly [number, number, number];
}

/** Identifies a kernel's pipeline: text, entry and constants, and how its operands are bound. */
export interface KernelLayout {
  readonly kernel: KernelSource;
  readonly access: readonly ('read' | 'write')[];
  readonly uniforms: boolean;
}

export interface KernelDevice extends AsyncDisposable {
  readonly info: DeviceInfo;
  readonly traits: DeviceTraits;
  /** Undefined content. @throws PARE_BACKEND_OUT_OF_MEMORY, at once or from `settle` */
  createBuffer(bytes: number): DeviceBuffer;
  destroyBuffer(buffer: DeviceBuffer): void;
  /** Fills the first `bytes` with zeros. */
  clear(buffer: DeviceBuffer, bytes: number): void;
  /** Copies host bytes to a buffer, from `offset` (a multiple of 4, 0 by default) on. The array may change afterwards. */
  upload(buffer: DeviceBuffer, bytes: Uint8Array, offset?: number): void;
  /** Copies the first `bytes` to the host, after all work handed in. */
  download(buffer: DeviceBuffer, bytes: number): Promise<ArrayBuffer>;
  /** Copies the first `bytes` of another device's buffer, after the work handed in there and before what is handed in there later; false where the devices cannot. Left out where none can. */
  receive?(buffer: DeviceBuffer, source: DeviceBuffer, from: KernelDevice, bytes: number): boolean;
  /** The kernels in order; those not compiled yet are compiled first. @throws PARE_KERNEL_INVALID naming kernel and line */
  prepare(layouts: readonly KernelLayout[]): Promise<readonly PreparedKernel[]>;
  /** Hands in prepared kernels; each sees what earlier ones wrote. */
  submit(launches: readonly Launch[]): void;
  /** Resolves when all work handed in is done. */
  idle(): Promise<void>;
  /** Reports failures of calls that do not report by themselves (lack of memory, a lost device). @throws PARE_BACKEND_OUT_OF_MEMORY, PARE_BACKEND_LOST */
  settle(): Promise<void>;
}
