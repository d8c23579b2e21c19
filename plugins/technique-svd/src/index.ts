import { svd } from './technique.js';

export { svd, svd as default };
export { svdOptions, type SvdOptions } from './options.js';
