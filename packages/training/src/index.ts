export * from './adapters/index.js';
export * from './data/index.js';
export * from './decoder/index.js';
export * from './losses/index.js';
export * from './optimizers/index.js';
export * from './trainer/index.js';
