import { webgpuBackend } from '@pare/backend-webgpu';
import type { Backend } from '@pare/core';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

/** Opens the WebGPU backend on any adapter, software included. */
export function openWebgpu(): Promise<Backend> {
  return webgpuBackend.create({ powerPreference: 'high-performance', software: true }, { log });
}

/** The WebGPU backend for suites that take further backends; nothing on machines without a driver, as the test configuration found out. */
export function webgpuWhereInstalled(): Readonly<Record<string, () => Promise<Backend>>> {
  return process.env['PARE_WEBGPU'] === 'absent' ? {} : { webgpu: openWebgpu };
}
