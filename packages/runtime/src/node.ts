export { configFiles, loadConfig, type LoadedConfig } from './config.js';
export { loadPlugins, problemText, type LoadOptions, type LoadResult } from './loader.js';
