export { evaluateGraph, evaluateNode, operatorTable, opsetOf, unsupportedOperators, unsupportedReason } from './table.js';
export type { Call, Kernel } from './kernel.js';
export { castTensor } from './elementwise.js';
export { erf } from './special-functions.js';
