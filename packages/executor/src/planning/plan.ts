import { tensorBytes, type HostTensor } from '@pare/core';
import type { BoundOperand, DeviceBuffer, KernelDevice, KernelLayout, Launch } from '../device.js';
import type { LoweredGraph } from '../lowering/lower-graph.js';
import type { PlanStep } from '../lowering/lowering.js';
import type { BufferPool } from './buffer-pool.js';
import { planMemory, type MemoryPlan } from './memory-plan.js';

/** Where a plan's buffers are during one run. */
export type BufferTable = ReadonlyMap<number, DeviceBuffer>;

/** A lowered graph made ready for one device: kernels compiled, uniforms and constants of the host uploaded, memory shared out. */
export class Plan {
  readonly lowered: LoweredGraph;
  readonly memory: MemoryPlan;
  readonly #pool: BufferPool;
  #holders = 1;
  readonly #uniforms: DeviceBuffer | undefined;
  readonly #uniformWindows: readonly (BoundOperand | undefined)[];
  readonly #uploads = new Map<number, DeviceBuffer>();

  private constructor(device: KernelDevice, pool: BufferPool, lowered: LoweredGraph) {
    this.lowered = lowered;
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
    await device.prepare(lowered.steps.map(layoutOf));
    return new Plan(device, pool, lowered);
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
      kernel: step.kernel,
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

function layoutOf({ kernel, operands, uniforms }: PlanStep): KernelLayout {
  return { kernel, access: operands.map(({ access }) => access), uniforms: uniforms !== undefined };
}

/** All steps' uniforms in one buffer, each at an offset that a binding can have. */
function uploadUniforms(device: KernelDevice, pool: BufferPool, steps: readonly PlanStep[]): { buffer: DeviceBuffer | undefined; windows: readonly (BoundOperand | undefined)[] } {
  const alignment = device.traits.offsetAlignment;
  let end = 0;
  const places = steps.map(({ uniforms }) => {
    if (uniforms === undefined) return undefined;
    const offset = end;
    end = Math.ceil((offset + uniforms.byteLength) / alignment) * alignment;
    return { offset, uniforms };
  });
  if (end === 0) return { buffer: undefined, windows: places.map(() => undefined) };
  const bytes = new Uint8Array(end);
  for (const place of places) if (place !== undefined) bytes.set(new Uint8Array(place.uniforms.buffer, place.uniforms.byteOffset, place.uniforms.byteLength), place.offset);
  const buffer = pool.acquire(end);
  device.upload(buffer, bytes);
  return { buffer, windows: places.map((place) => (place === undefined ? undefined : { buffer, access: 'read', offset: place.offset, bytes: place.uniforms.byteLength })) };
}
