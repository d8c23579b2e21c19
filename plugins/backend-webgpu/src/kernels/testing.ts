import { devicePrograms, ExecutorBackend, type DeviceTraits, type Program, type ProgramRunner } from '@pare/executor';
import { findGpu } from '../device/gpu.js';
import { WebgpuDevice } from '../device/webgpu-device.js';
import { wgsl } from '../language/wgsl.js';
import { webgpuRoutines } from './index.js';

/* Runs programs as the backend does, for the kernels' tests, on a device that has nothing but WebGPU's guaranteed limits: what a kernel needs beyond them fails here. */

/** The traits of a device with nothing but WebGPU's guaranteed limits. */
export const guaranteedTraits: DeviceTraits = {
  language: 'WGSL',
  maximumWorkgroups: 65_535,
  maximumInvocations: 256,
  workgroupMemory: 16_384,
  maximumBinding: 134_217_728,
  offsetAlignment: 256,
  maximumOperands: 8,
  subgroupSize: 0,
  float16: false,
};

/** Traits so small that everything is split. */
export const tinyTraits: DeviceTraits = { ...guaranteedTraits, maximumBinding: 65_536, maximumWorkgroups: 8 };

export type TestArray = Float32Array | Int32Array | Uint32Array | Uint8Array;

export interface TestDevice {
  /** Runs a program over named arrays, which are updated where it writes. Buffers named only there are an error. */
  run(program: Program, arrays: Readonly<Record<string, TestArray>>): Promise<void>;
  /** Programs for a device of these traits, those that WebGPU guarantees by default. What the device finds wrong comes out of `read`. */
  programs(traits?: DeviceTraits): ProgramRunner;
  destroy(): void;
}

/**
 * Opens a device.
 * @throws Error when there is no adapter
 */
export async function testDevice(): Promise<TestDevice> {
  const { gpu, missing } = await findGpu();
  if (missing !== undefined) throw new Error(missing);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) {
    throw new Error(
      'Dawn finds no adapter. Install a Vulkan driver, or chromium for its software one, and set VK_DRIVER_FILES and LD_LIBRARY_PATH to it as the README of this package says.',
    );
  }
  const requiredFeatures: GPUFeatureName[] = adapter.features.has('subgroups') ? ['subgroups'] : [];
  const { maxComputeWorkgroupStorageSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits: { maxComputeWorkgroupStorageSize } });
  const problems: string[] = [];
  device.addEventListener('uncapturederror', ({ error }) => problems.push(error.message));
  const programs = (traits = guaranteedTraits): ProgramRunner => {
    const backend = new ExecutorBackend({ id: 'webgpu', device: new WebgpuDevice(adapter, device, { traits }), language: wgsl, routines: webgpuRoutines });
    const runner = backend.capability(devicePrograms)!;
    return {
      ...runner,
      async read(buffer, bytes) {
        const result = await runner.read(buffer, bytes);
        if (problems.length > 0) throw new Error(problems.splice(0).join('\n'));
        return result;
      },
    };
  };
  const runner = programs();
  return { run: (program, arrays) => runOn(runner, program, arrays), programs, destroy: () => device.destroy() };
}

async function runOn(runner: ProgramRunner, { temporaries, dispatches }: Program, arrays: Readonly<Record<string, TestArray>>): Promise<void> {
  // Scratch starts as rubbish, which a kernel must not rely on.
  const scratch = temporaries.map(({ name, bytes }) => [name, new Uint8Array(bytes).fill(0xff)] as const);
  const content = new Map<string, TestArray>([...Object.entries(arrays), ...scratch]);
  const buffers = new Map([...content].map(([name, array]) => [name, runner.allocate(array.byteLength)]));
  try {
    for (const [name, array] of content) runner.write(buffers.get(name)!, array);
    runner.run({ temporaries: [], dispatches }, Object.fromEntries(buffers));
    const written = new Set(dispatches.flatMap(({ operands }) => operands.filter(({ access }) => access === 'write').map(({ buffer }) => buffer)));
    for (const [name, array] of Object.entries(arrays)) {
      // Reading also tells what failed.
      const bytes = await runner.read(buffers.get(name)!);
      if (written.has(name)) new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(new Uint8Array(bytes));
    }
  } finally {
    for (const buffer of buffers.values()) buffer[Symbol.dispose]();
  }
}

/** A difference that tests bound: max |a − b| over max |b|, at least 1e-12; NaN where both are is no difference, where one is it is infinite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 1e-12;
  if (actual.length !== expected.length) return Infinity;
  for (let index = 0; index < expected.length; index++) {
    const [a, b] = [actual[index]!, expected[index]!];
    if (Number.isFinite(b)) largest = Math.max(largest, Math.abs(b));
    if (Object.is(a, b) || a === b) continue;
    const apart = Math.abs(a - b);
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
  }
  return difference / largest;
}
