import { capabilityRef, type CapabilityRef, type DeviceTensor, type DType } from '@pare/core';
import type { DeviceTraits, Program } from './program.js';

/** Memory of a device, in the hands of code that brings programs of its own. */
export interface ProgramBuffer extends Disposable {
  readonly bytes: number;
}

/**
 * A device for kernels of one's own: buffers, programs over them, and the way back. Calls take effect in order. What fails (a kernel that does not compile, lack
 * of memory) is thrown by the next `read`.
 */
export interface ProgramRunner {
  readonly traits: DeviceTraits;
  /** A buffer of at least this many bytes, whose content is undefined. */
  allocate(bytes: number): ProgramBuffer;
  /** Copies host data to a buffer, from `offset` bytes (a multiple of 4) on. */
  write(buffer: ProgramBuffer, data: ArrayBufferView, offset?: number): void;
  /** The first `bytes` of a buffer once everything asked for before is done; all of it by default. */
  read(buffer: ProgramBuffer, bytes?: number): Promise<ArrayBuffer>;
  /** Starts a program over the buffers that its operands name; its temporaries are the device's business. */
  run(program: Program, buffers: Readonly<Record<string, ProgramBuffer>>): void;
}

/** A runner on a backend, with the way to and from its tensors. */
export interface DevicePrograms extends ProgramRunner {
  /** The memory of a tensor of this backend, row-major, in its element type. Only to be read; it stays the tensor's, which must outlive its use. */
  bufferOf(tensor: DeviceTensor): ProgramBuffer;
  /** Makes a tensor of a buffer that `allocate` gave. The buffer is the tensor's from then on. */
  tensorOf(buffer: ProgramBuffer, dtype: DType, shape: readonly number[]): DeviceTensor;
}

/**
 * Programs in a backend's kernel language (`traits.language`: WGSL, …). A technique that ships a kernel asks for this and brings its plain version for backends that
 * have another language, or none.
 */
export const devicePrograms: CapabilityRef<DevicePrograms> = capabilityRef<DevicePrograms>('pare.device-programs');
