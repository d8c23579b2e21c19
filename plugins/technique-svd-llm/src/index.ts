import { svdLlm } from './technique.js';

export { svdLlm, svdLlm as default };
export { svdLlmOptions, type SvdLlmOptions } from './options.js';
