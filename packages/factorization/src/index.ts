export * from './options.js';
export * from './rank.js';
export * from './plan.js';
export * from './backend-products.js';
export * from './factorize.js';
