import { apiVersion, defineBackend, type BackendPlugin } from '@pare/core';
import { findFallbacks } from '@pare/executor';
import { createWebgpuBackend, scoreWebgpu } from './create-backend.js';
import { optionsSchema, type WebgpuOptions } from './options.js';

/** Runs graphs with WGSL kernels on any GPU: Dawn in Node, `navigator.gpu` in browsers. */
export const webgpuBackend: BackendPlugin<WebgpuOptions> = defineBackend({
  id: 'webgpu',
  api: apiVersion,
  title: 'WebGPU',
  summary: 'Runs graphs with WGSL kernels on any GPU: Dawn in Node, navigator.gpu in browsers.',
  options: optionsSchema,
  score: scoreWebgpu,
  fallbacks: (graph) => findFallbacks(graph, 'WGSL'),
  create: (options, { log }) => createWebgpuBackend(options, { log }),
});

export { webgpuDevice } from './create-backend.js';

export default webgpuBackend;
