export { runCommandLine, type CommandEnvironment } from './run.js';
export { bundledPlugins, loadBundledPlugins, type BundledPlugin } from './bundled-plugins.js';
export { describeOptions, describeType, optionsSchemaOf, type OptionDescription } from './options/describe.js';
export { recipeYaml } from './options/recipe-text.js';
export { commandProblem } from './command-problem.js';
