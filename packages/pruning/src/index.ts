export * from './options.js';
export * from './check.js';
export * from './plan.js';
export * from './masks.js';
