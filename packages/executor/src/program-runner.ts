import type { DeviceTensor, DType, MemoryTally } from '@pare/core';
import type { DeviceBuffer, KernelDevice, Launch } from './device.js';
import type { DevicePrograms, ProgramBuffer } from './device-programs.js';
import { ExecutorTensor, foreignTensor, Storage } from './device-tensor.js';
import type { BufferPool } from './planning/buffer-pool.js';
import { layoutOf, uploadUniforms } from './planning/launches.js';
import type { Program } from './program.js';

/** A buffer of the pool, or a tensor's. */
class HeldBuffer implements ProgramBuffer {
  readonly bytes: number;
  readonly buffer: DeviceBuffer;
  #release: (() => void) | undefined;

  constructor(bytes: number, buffer: DeviceBuffer, release: () => void) {
    this.bytes = bytes;
    this.buffer = buffer;
    this.#release = release;
  }

  /** Gives the buffer to somebody else, who releases it from now on. */
  surrender(): DeviceBuffer {
    this.#release = undefined;
    return this.buffer;
  }

  [Symbol.dispose](): void {
    this.#release?.();
    this.#release = undefined;
  }
}

export interface ProgramRunnerContext {
  readonly id: string;
  readonly device: KernelDevice;
  readonly pool: BufferPool;
  readonly tally: MemoryTally;
}

/**
 * Programs on a kernel device. Kernels compile in their own time, so calls wait in a queue and are handed to the device in order.
 */
export function createDevicePrograms({ id, device, pool, tally }: ProgramRunnerContext): DevicePrograms {
  let queue: Promise<void> = Promise.resolve();
  let failure: Error | undefined;
  /** Calls that wait in the queue. */
  let waiting = 0;
  const fail = (error: unknown): void => {
    failure = error instanceof Error ? error : new Error(String(error));
  };
  /** Runs `work` after everything before it; after a failure nothing runs until it has been told. */
  const enqueue = (work: () => void | Promise<void>): void => {
    waiting++;
    queue = queue.then(async () => {
      try {
        if (failure === undefined) await work();
      } catch (error) {
        fail(error);
      } finally {
        waiting--;
      }
    });
  };
  const held = (buffer: ProgramBuffer | undefined, name: string): HeldBuffer => {
    if (buffer instanceof HeldBuffer) return buffer;
    throw new TypeError(`"${name}" is no buffer of backend "${id}"`);
  };

  return {
    traits: device.traits,
    allocate(bytes) {
      const buffer = pool.acquire(Math.max(4, Math.ceil(bytes / 4) * 4));
      // Work that is queued may use the buffer yet.
      return new HeldBuffer(bytes, buffer, () => enqueueAlways(() => pool.release(buffer)));
    },
    write(target, data, offset = 0) {
      const { buffer } = held(target, 'target');
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      if (waiting === 0 && failure === undefined) {
        // Nothing to wait for: the device takes the bytes as they are, which spares a copy of large matrices.
        try {
          device.upload(buffer, bytes, offset);
        } catch (error) {
          fail(error);
        }
        return;
      }
      const copy = bytes.slice();
      enqueue(() => device.upload(buffer, copy, offset));
    },
    async read(source, bytes = source.bytes) {
      const { buffer } = held(source, 'source');
      await queue;
      if (failure !== undefined) {
        const error = failure;
        failure = undefined;
        throw error;
      }
      return bytes === 0 ? new ArrayBuffer(0) : device.download(buffer, bytes);
    },
    run(program, buffers) {
      const named = new Map(Object.entries(buffers).map(([name, buffer]) => [name, held(buffer, name).buffer]));
      enqueue(() => runProgram(device, pool, program, named));
    },
    bufferOf(tensor: DeviceTensor) {
      if (!(tensor instanceof ExecutorTensor)) throw foreignTensor(id, 'a program');
      const storage = tensor.storage(device, id, 'a program').hold();
      return new HeldBuffer(tensor.byteLength, storage.buffer, () => enqueueAlways(() => storage.release()));
    },
    tensorOf(buffer: ProgramBuffer, dtype: DType, shape: readonly number[]) {
      return new ExecutorTensor(device, tally, dtype, shape, new Storage(pool, held(buffer, 'buffer').surrender()));
    },
  };

  /** Runs also after a failure: memory is given back all the same. */
  function enqueueAlways(work: () => void): void {
    waiting++;
    queue = queue.then(() => {
      waiting--;
      work();
    });
  }
}

/** Compiles what is not compiled yet, then hands the dispatches in. */
async function runProgram(device: KernelDevice, pool: BufferPool, { dispatches, temporaries }: Program, buffers: Map<string, DeviceBuffer>): Promise<void> {
  const kernels = await device.prepare(dispatches.map(layoutOf));
  const scratch: DeviceBuffer[] = [];
  for (const { name, bytes } of temporaries) {
    const buffer = pool.acquire(Math.max(4, bytes));
    scratch.push(buffer);
    buffers.set(name, buffer);
  }
  const uniforms = uploadUniforms(device, pool, dispatches);
  if (uniforms.buffer !== undefined) scratch.push(uniforms.buffer);
  const launches = dispatches.map((dispatch, index): Launch => {
    const operands = dispatch.operands.map(({ buffer: name, access, offset = 0, size }) => {
      const buffer = buffers.get(name);
      if (buffer === undefined) throw new Error(`kernel ${dispatch.kernel.name} asks for buffer "${name}"`);
      return { buffer, access, offset, bytes: size ?? buffer.bytes - offset };
    });
    return { kernel: kernels[index]!, operands, uniforms: uniforms.windows[index], workgroups: dispatch.workgroups };
  });
  device.submit(launches);
  // The device works in order: whoever takes these buffers next writes after this program has read them.
  for (const buffer of scratch) pool.release(buffer);
}
