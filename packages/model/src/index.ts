export * from './store/index.js';
export * from './open/index.js';
