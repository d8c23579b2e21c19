import type { Backend } from '@pare/core';
import { cudaBackend } from '@pare/backend-cuda';
import { webgpuBackend } from '@pare/backend-webgpu';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

/**
 * Backends on GPUs that tests run on here: webgpu unless the test configuration found no driver, not even one in software; cuda where `npm run test:gpu` found a GPU for it.
 */
export function gpuBackends(): Readonly<Record<string, () => Promise<Backend>>> {
  return {
    ...(process.env['PARE_WEBGPU'] === 'absent' ? {} : { webgpu: () => webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log }) }),
    ...(process.env['PARE_CUDA'] === 'present' ? { cuda: () => cudaBackend.create({ device: 0, devices: 1, precision: 'float32' }, { log }) } : {}),
  };
}
