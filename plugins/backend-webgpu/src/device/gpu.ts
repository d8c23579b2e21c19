/* Where WebGPU comes from: `navigator.gpu` in browsers, Dawn (the npm package `webgpu`) in Node. One code path from here on. */

import type { DeviceInfo } from '@pare/core';

/** The bit flags of WebGPU, which browsers have as globals and Dawn brings with it; their values are fixed by the standard. */
export const bufferUsage = { mapRead: 0x1, copySource: 0x4, copyDestination: 0x8, uniform: 0x40, storage: 0x80 } as const;
export const mapMode = { read: 0x1 } as const;
export const shaderStage = { compute: 0x4 } as const;

/** WebGPU, or why there is none. */
export type GpuAccess = { readonly gpu: GPU; readonly missing?: undefined } | { readonly gpu?: undefined; readonly missing: string };

/** Dawn's instance. Kept for the life of the process: devices outlive nothing, and Dawn aborts when its instance is collected before them. */
let dawn: Promise<GpuAccess> | undefined;

/** Finds WebGPU without opening a device. */
export function findGpu(): Promise<GpuAccess> {
  const browser = (globalThis as { readonly navigator?: { readonly gpu?: GPU } }).navigator?.gpu;
  if (browser !== undefined) return Promise.resolve({ gpu: browser });
  if ((globalThis as { readonly process?: { readonly versions?: { readonly node?: string } } }).process?.versions?.node === undefined) {
    return Promise.resolve({ missing: 'this browser has no WebGPU (navigator.gpu); Chrome and Edge from 113, Safari from 26 and Firefox from 141 have it' });
  }
  dawn ??= loadDawn();
  return dawn;
}

/** What Dawn and Vulkan would write to standard error about drivers that cannot serve; variables that are set stay. */
const quietEnvironment: Readonly<Record<string, string>> = {
  // The window-system parts of drivers ask for it, and nothing here opens windows.
  XDG_RUNTIME_DIR: '/tmp',
  // Mesa's driver for the processor lacks what WebGPU needs: Dawn refuses it, with a warning each time.
  VK_LOADER_DRIVERS_DISABLE: '*lvp*',
};

async function loadDawn(): Promise<GpuAccess> {
  const { process } = globalThis as { readonly process?: { readonly platform: string; readonly env: Record<string, string | undefined> } };
  if (process?.platform === 'linux') for (const [name, value] of Object.entries(quietEnvironment)) process.env[name] ??= value;
  // A variable, so that bundlers for browsers do not follow it.
  const name = 'webgpu';
  try {
    const module = (await import(/* @vite-ignore */ name)) as { create(options: readonly string[]): GPU };
    return { gpu: module.create([]) };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0]! : String(error);
    return { missing: `the optional package "webgpu" (Dawn) cannot be loaded: ${reason}; "npm install webgpu" installs it` };
  }
}

/** The adapter's name for people. */
export function adapterName({ info }: { readonly info: Pick<GPUAdapterInfo, 'description' | 'device' | 'vendor' | 'architecture'> }): string {
  const { description, device, vendor, architecture } = info;
  return [description, device, [vendor, architecture].filter((part) => part !== '').join(' ')].find((part) => part !== '') ?? 'unnamed adapter';
}

/** What plans and people are told of an adapter. A software adapter has the processor's solver; its rate of a forward pass is that of SwiftShader on two cores. */
export function deviceInfo(name: string, software: boolean): DeviceInfo {
  return { name, memoryBytes: undefined, parallelism: undefined, rate: software ? { forward: 1e8, solver: 4e9 } : { forward: 1e11, solver: 4e9 } };
}

/** True for adapters that compute on the processor. */
export function isSoftware({ info }: { readonly info: Pick<GPUAdapterInfo, 'description' | 'device' | 'architecture'> & { readonly isFallbackAdapter?: boolean } }): boolean {
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${info.description} ${info.architecture} ${info.device}`);
}
