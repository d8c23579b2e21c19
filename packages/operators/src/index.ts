export { evaluateGraph, evaluateNode, operatorTable, opsetOf, unsupportedOperators, unsupportedReason } from './table.js';
export type { Call, Kernel } from './kernel.js';
export { broadcastShapes, strides } from './shape.js';
export { planWindows, type WindowAttributes, type Windows } from './windows.js';
export { castTensor } from './elementwise.js';
export { erf } from './special-functions.js';
