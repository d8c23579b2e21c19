export { runCommandLine, type CommandEnvironment } from './run.js';
export { bundledPlugins, loadBundledPlugins, type BundledPlugin } from './bundled-plugins.js';
