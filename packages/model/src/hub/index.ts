export { resolveModel, type DownloadProgress, type ResolveModelOptions } from './resolve-model.js';
