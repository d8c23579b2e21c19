export type * from './host-types.js';
export { createHost } from './host.js';
export { journalFolder } from './journal.js';
export { manifestName } from './output-folder.js';
export { readManifest } from './manifest.js';
export { applySetting, describeOptions, parseOptions, parseSetting, type Setting } from './options.js';
export type { PluginProblem } from './plugin-problem.js';
export { defaultCalibration } from './prepare.js';
export { parseRecipe, recipeJsonSchema } from './recipes.js';
