import { tensorBytes, type HostTensor } from '@pare/core';
import type { BoundOperand, DeviceBuffer, KernelDevice, Launch, PreparedKernel } from '../device.js';
import type { LoweredGraph } from '../lowering/lower-graph.js';
import type { BufferPool } from './buffer-pool.js';
import { layoutOf, uploadUniforms } from './launches.js';
import { planMemory, type MemoryPlan } from './memory-plan.js';

/** Where a plan's buffers are during one run. */
export type BufferTable = ReadonlyMap<number, DeviceBuffer>;

/** A lowered graph made ready for one device: kernels compiled, uniforms and constants of the host uploaded, memory shared out. */
export class Plan {
  readonly lowered: LoweredGraph;
  readonly memory: MemoryPlan;
  readonly #pool: BufferPool;
  readonly #kernels: readonly PreparedKernel[];
  #holders = 1;
  readonly #uniforms: DeviceBuffer | undefined;
  readonly #uniformWindows: readonly (BoundOperand | undefined)[];
  readonly #uploads = new Map<number, DeviceBuffer>();

  private constructor(device: KernelDevice, pool: BufferPool, lowered: LoweredGraph, kernels: readonly PreparedKernel[]) {
    this.lowered = lowered;
    this.#kernels = kernels;
    this.#pool = pool;
    this.memory = planMemory(lowered);
    const { buffer, windows } = uploadUniforms(device, pool, lowered.steps);
    this.#uniforms = buffer;
    this.#uniformWindows = windows;
    for (const { id, origin } of lowered.buffers) {
      if (origin.kind !== 'upload') continue;
      const upload = pool.acquire(Math.max(4, tensorBytes(origin.tensor)));
      device.upload(upload, bytesOf(origin.tensor));
      this.#uploads.set(id, upload);
    }
  }

  static async prepare(device: KernelDevice, pool: BufferPool, lowered: LoweredGraph): Promise<Plan> {
    return new Plan(device, pool, lowered, await device.prepare(lowered.steps.map(layoutOf)));
  }

  /** Bytes of intermediate values during a run. */
  get workingBytes(): number {
    return this.memory.slots.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The buffer of a host constant of the plan. */
  upload(id: number): DeviceBuffer | undefined {
    return this.#uploads.get(id);
  }

  /** Launches of steps `start` … `end − 1`. */
  launches(buffers: BufferTable, start: number, end: number): Launch[] {
    return this.lowered.steps.slice(start, end).map((step, index) => ({
      kernel: this.#kernels[start + index]!,
      operands: step.operands.map(({ buffer, access, offset = 0, size }) => {
        const bound = buffers.get(buffer);
        if (bound === undefined) throw new Error(`kernel ${step.kernel.name} reads buffer ${String(buffer)}, which nothing filled`);
        return { buffer: bound, access, offset, bytes: size ?? this.lowered.buffers[buffer]!.bytes - offset };
      }),
      uniforms: this.#uniformWindows[start + index],
      workgroups: step.workgroups,
    }));
  }

  /** Keeps the plan's buffers until a `dispose` more. */
  hold(): void {
    this.#holders++;
  }

  dispose(): void {
    if (--this.#holders > 0) return;
    if (this.#uniforms !== undefined) this.#pool.release(this.#uniforms);
    for (const buffer of this.#uploads.values()) this.#pool.release(buffer);
    this.#uploads.clear();
  }
}

/** The bytes of a host tensor's elements. */
export function bytesOf({ data }: HostTensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
