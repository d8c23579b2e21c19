import { gkd } from './technique.js';

export { gkd, gkd as default };
export { gkdOptions, type GkdOptions } from './options.js';
