import type { DeviceInfo } from '@pare/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';

/** The processor, for people. */
export function cpuDevice(threads: number = availableParallelism()): DeviceInfo {
  const limit = process.constrainedMemory();
  const memory = limit !== undefined && limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { name: cpus()[0]?.model.trim() ?? process.arch, memoryBytes: memory, parallelism: threads };
}

/** Why onnxruntime cannot be loaded on this platform, found without loading it; undefined when its library is there. */
export function missingLibrary(platform: string = process.platform, arch: string = process.arch): string | undefined {
  let root: string;
  try {
    root = join(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'), '..');
  } catch {
    return 'the package onnxruntime-node is not installed';
  }
  const library = join(root, 'bin', 'napi-v6', platform, arch, 'onnxruntime_binding.node');
  return existsSync(library) ? undefined : `onnxruntime-node has no library for ${platform}-${arch}`;
}
