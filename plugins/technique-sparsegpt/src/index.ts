import { sparsegpt } from './technique.js';

export { sparsegpt, sparsegpt as default };
export { sparsegptOptions, type SparsegptOptions } from './options.js';
