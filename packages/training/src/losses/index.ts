export { addCrossEntropy, crossEntropy, nextTokenTargets } from './cross-entropy.js';
export { distillation, type DistillationOptions } from './distillation.js';
export { addCosineDistance, addForwardDivergence, addJensenShannon, addReverseDivergence, addSquaredError } from './divergences.js';
export { logitsOnly, type Loss, type LossInputs, type LossValues } from './loss.js';
export { policyInputs, policyLoss, type PolicyLossOptions, type PolicyPosition } from './policy.js';
export { textReturns, whiten, type ReturnOptions } from './returns.js';
