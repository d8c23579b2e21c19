import { gptq } from './technique.js';

export { gptq, gptq as default };
export { gptqOptions, type GptqOptions } from './options.js';
