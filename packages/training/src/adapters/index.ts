export { type Adapter, type AdapterParameter } from './adapter.js';
export { adapterNames, createAdapterParameters, mergeAdapter } from './adapted-parameters.js';
export { lora, type LoraOptions } from './lora.js';
