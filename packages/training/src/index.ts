export * from './adapters/index.js';
export * from './decoder/index.js';
export * from './losses/index.js';
