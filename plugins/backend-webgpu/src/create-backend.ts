// Stays in the declarations: what uses this package need not know the types of WebGPU.
/// <reference types="@webgpu/types" preserve="true" />
import { capabilityRef, pareError, type BackendScore, type CapabilityRef, type Logger } from '@pare/core';
import { ExecutorBackend, type DevicePrograms, type RoutineTable } from '@pare/executor';
import { columnSolver } from '@pare/solvers';
import { adapterName, deviceInfo, findGpu, isSoftware } from './device/gpu.js';
import { probeAdapter } from './device/probe.js';
import { openWebgpuDevice, type WebgpuDeviceOptions } from './device/webgpu-device.js';
import { createWebgpuColumnSolver, webgpuRoutines } from './kernels/index.js';
import { wgsl } from './language/wgsl.js';
import type { WebgpuOptions } from './options.js';

/** What the adapter found here would be worth. */
export async function scoreWebgpu(): Promise<BackendScore> {
  const found = await probeAdapter();
  if ('missing' in found) return { score: 0, reason: found.missing };
  const { name, software } = found.adapter;
  const device = deviceInfo(name, software);
  return software ? { score: 5, reason: 'computes on the processor: correct, and slow', device } : { score: 50, reason: 'a GPU that WebGPU can use', device };
}

async function findAdapter(powerPreference: GPUPowerPreference): Promise<GPUAdapter | string> {
  const { gpu, missing } = await findGpu();
  if (missing !== undefined) return missing;
  const adapter = await gpu.requestAdapter({ powerPreference });
  return adapter ?? 'no adapter: no GPU driver that WebGPU can use (Vulkan, Metal or Direct3D 12) was found';
}

/** The GPUDevice behind a WebGPU backend, for programs that share it with their own rendering or kernels. It stays the backend's. */
export const webgpuDevice: CapabilityRef<GPUDevice> = capabilityRef<GPUDevice>('pare.webgpu-device');

export interface CreateOptions extends WebgpuDeviceOptions {
  readonly routines?: RoutineTable | undefined;
  readonly log?: Pick<Logger, 'warn'> | undefined;
}

/** Opens a backend on the best adapter. @throws PARE_BACKEND_UNAVAILABLE */
export async function createWebgpuBackend(options: WebgpuOptions, { routines = webgpuRoutines, log, ...device }: CreateOptions = {}): Promise<ExecutorBackend> {
  const adapter = await findAdapter(options.powerPreference);
  if (typeof adapter === 'string') throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'webgpu', reason: adapter });
  if (isSoftware(adapter) && !options.software) {
    throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'webgpu', reason: `the only adapter, ${adapterName(adapter)}, computes on the processor` });
  }
  // A software adapter shares the processor with the solver in WebAssembly, which is many times faster there: techniques are left to take that one.
  const solver = isSoftware(adapter) ? {} : { [columnSolver.id]: (programs: DevicePrograms) => createWebgpuColumnSolver(programs, { threads: 0 }) };
  const opened = await openWebgpuDevice(adapter, device);
  return new ExecutorBackend({ id: 'webgpu', device: opened, language: wgsl, routines, log, capabilities: { ...solver, [webgpuDevice.id]: () => opened.gpu } });
}
