import { devicePrograms, ExecutorBackend, type DevicePrograms, type DeviceTraits, type ProgramRunner } from '@pare/executor';
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

export interface TestDevice {
  /** Programs for a device of the traits that WebGPU guarantees. */
  readonly runner: ProgramRunner;
  /** Programs for a device of these traits, those that WebGPU guarantees by default. What the device finds wrong comes out of `read`. */
  programs(traits?: DeviceTraits): DevicePrograms;
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
  const programs = (traits = guaranteedTraits): DevicePrograms => {
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
  return { runner: programs(), programs, destroy: () => device.destroy() };
}
