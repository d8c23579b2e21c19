import { pareError, type BackendScore } from '@pare/core';
import { ExecutorBackend, type DevicePrograms, type RoutineTable } from '@pare/executor';
import { columnSolver } from '@pare/solvers';
import { adapterName, findGpu, isSoftware } from './device/gpu.js';
import { openWebgpuDevice, type WebgpuDeviceOptions } from './device/webgpu-device.js';
import { createWebgpuColumnSolver, webgpuRoutines } from './kernels/index.js';
import { wgsl } from './language/wgsl.js';
import type { WebgpuOptions } from './options.js';

/** What the adapter found here would be worth. */
export async function scoreWebgpu(): Promise<BackendScore> {
  const adapter = await findAdapter('high-performance');
  if (typeof adapter === 'string') return { score: 0, reason: adapter };
  const device = { name: adapterName(adapter), memoryBytes: undefined, parallelism: undefined };
  if (isSoftware(adapter)) return { score: 5, reason: `${device.name} computes on the processor: correct, and slow`, device };
  return { score: 50, reason: device.name, device };
}

async function findAdapter(powerPreference: GPUPowerPreference): Promise<GPUAdapter | string> {
  const { gpu, missing } = await findGpu();
  if (missing !== undefined) return missing;
  const adapter = await gpu.requestAdapter({ powerPreference });
  return adapter ?? 'no adapter: no GPU driver that WebGPU can use (Vulkan, Metal or Direct3D 12) was found';
}

export interface CreateOptions extends WebgpuDeviceOptions {
  readonly routines?: RoutineTable | undefined;
}

/** Opens a backend on the best adapter. @throws PARE_BACKEND_UNAVAILABLE */
export async function createWebgpuBackend(options: WebgpuOptions, { routines = webgpuRoutines, ...device }: CreateOptions = {}): Promise<ExecutorBackend> {
  const adapter = await findAdapter(options.powerPreference);
  if (typeof adapter === 'string') throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'webgpu', reason: adapter });
  if (isSoftware(adapter) && !options.software) {
    throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'webgpu', reason: `the only adapter, ${adapterName(adapter)}, computes on the processor` });
  }
  // A software adapter shares the processor with the solver in WebAssembly, which is many times faster there: techniques are left to take that one.
  const solver = isSoftware(adapter) ? {} : { [columnSolver.id]: (programs: DevicePrograms) => createWebgpuColumnSolver(programs, { threads: 0 }) };
  return new ExecutorBackend({ id: 'webgpu', device: await openWebgpuDevice(adapter, device), language: wgsl, routines, capabilities: solver });
}
