import { distillLogits } from './technique.js';

export { distillLogits, distillLogits as default };
export { distillLogitsOptions, type DistillLogitsOptions } from './options.js';
