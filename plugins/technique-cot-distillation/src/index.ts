import { cotDistillation } from './technique.js';

export { cotDistillation, cotDistillation as default };
export { cotDistillationOptions, type CotDistillationOptions } from './options.js';
