import { miniLlm } from './technique.js';

export { miniLlm, miniLlm as default };
export { miniLlmOptions, type MiniLlmOptions } from './options.js';
