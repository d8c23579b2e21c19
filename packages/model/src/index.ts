export * from './store/index.js';
export * from './open/index.js';
export * from './decoder/index.js';
export * from './structure/index.js';
export * from './statistics/index.js';
export * from './forward/index.js';
export * from './scoring/index.js';
export * from './text/index.js';
