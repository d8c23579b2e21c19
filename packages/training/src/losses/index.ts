export { addCrossEntropy, crossEntropy, nextTokenTargets } from './cross-entropy.js';
export { type Loss, type LossInputs, type LossValues } from './loss.js';
