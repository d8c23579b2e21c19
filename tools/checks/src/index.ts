export * from './workspace.js';
export * from './snippets.js';
export * from './option-tables.js';
export * from './error-codes.js';
export * from './packages.js';
export * from './forbidden-words.js';
export * from './line-budgets.js';
