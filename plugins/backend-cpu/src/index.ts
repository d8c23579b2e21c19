import { availableParallelism } from 'node:os';
import { apiVersion, defineBackend, pareError, type BackendPlugin } from '@pare/core';
import { cpuDevice, missingLibrary } from './device-info.js';
import { cpuOptions, type CpuOptions } from './options.js';

export { cpuOptions, type CpuOptions } from './options.js';

/**
 * Runs graphs through onnxruntime's CPU kernels in a worker thread. A run that was cancelled before it began is dropped; one that has
 * begun finishes, its outputs are discarded and PARE_ABORTED is thrown.
 */
export const cpuBackend: BackendPlugin<CpuOptions> = defineBackend<CpuOptions>({
  id: 'cpu',
  api: apiVersion,
  title: 'CPU',
  summary: 'Runs graphs through onnxruntime in a worker thread and solver loops in WebAssembly.',
  options: cpuOptions,
  score() {
    const reason = missingLibrary();
    if (reason !== undefined) return Promise.resolve({ score: 0, reason });
    return Promise.resolve({ score: 10, reason: 'onnxruntime is installed for this platform', device: cpuDevice() });
  },
  async create(options) {
    const reason = missingLibrary();
    if (reason !== undefined) throw pareError('PARE_BACKEND_UNAVAILABLE', { backend: 'cpu', reason });
    // Loaded here so that listing backends costs nothing.
    const { CpuBackend } = await import('./backend.js');
    return CpuBackend.open(options.threads === 0 ? availableParallelism() : options.threads);
  },
});

export default cpuBackend;
