import { distillSequence } from './technique.js';

export { distillSequence, distillSequence as default };
export { distillSequenceOptions, type DistillSequenceOptions } from './options.js';
