import { awq } from './technique.js';

export { awq, awq as default };
export { awqOptions, type AwqOptions } from './options.js';
