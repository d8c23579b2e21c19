export { configFiles, loadConfig, type LoadedConfig } from './config.js';
export { loadPlugins } from './loader.js';
