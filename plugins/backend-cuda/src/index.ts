import { apiVersion, defineBackend, type BackendPlugin } from '@pare/core';
import { createCudaBackend, scoreCuda } from './create-backend.js';
import { optionsSchema, type CudaOptions } from './options.js';

/** Runs graphs with CUDA kernels on NVIDIA GPUs. Importing it loads no library. */
export const cudaBackend: BackendPlugin<CudaOptions> = defineBackend({
  id: 'cuda',
  api: apiVersion,
  title: 'CUDA',
  summary: 'Runs graphs with CUDA kernels and cuBLASLt on NVIDIA GPUs; nothing is compiled at install.',
  options: optionsSchema,
  score: () => scoreCuda(),
  create: (options, { log }) => createCudaBackend(options, { log }),
});

export default cudaBackend;
