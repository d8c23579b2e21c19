import { wanda } from './technique.js';

export { wanda, wanda as default };
export { wandaOptions, type WandaOptions } from './options.js';
