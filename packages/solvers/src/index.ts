export { columnSolver, type ColumnSolver, type FactorizeRequest, type InverseFactor, type SweepRequest, type SweepResult } from './contract.js';
export type { ColumnPass, ColumnRule, SweepContext } from './column-rule.js';
export { loadReversed, planHessian, withDamping, type HessianPlan } from './hessian.js';
export { isQuantizerRule, planGroups, quantizerRule, type GroupPlan, type QuantizerRule, type SweepQuantizer } from './quantizer-rule.js';
export { isPrunerRule, prunerRule, type PrunedMatrix, type PrunerRule, type SweepPruner } from './pruner-rule.js';
export { referenceColumnSolver } from './reference.js';
export { checkSweep, withoutDeadColumns } from './sweep-driver.js';
export { createColumnSolver, type ColumnSolverOptions } from './wasm/solver.js';
export { sweepLayers, type LayerSweep } from './sweep-layers.js';
