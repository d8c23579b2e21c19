import { llmPruner } from './technique.js';

export { llmPruner, llmPruner as default };
export { llmPrunerOptions, type LlmPrunerOptions } from './options.js';
