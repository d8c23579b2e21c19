export { configFiles, loadConfig, type LoadedConfig } from './config.js';
export { scanPlugins } from './scan.js';
