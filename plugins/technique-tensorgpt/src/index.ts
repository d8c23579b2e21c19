import { tensorgpt } from './technique.js';

export { tensorgpt, tensorgpt as default };
export { tensorGptOptions, type TensorGptOptions } from './options.js';
