export { smoothquant } from './technique.js';
export { smoothquantOptions, type SmoothquantOptions } from './options.js';
export { smoothquant as default } from './technique.js';
