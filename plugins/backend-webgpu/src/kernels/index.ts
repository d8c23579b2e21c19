import type { RoutineTable } from '@pare/executor';
import { attention } from './attention.js';
import { matMul, quantizedMatMul } from './matmul.js';
import { normalization } from './normalization.js';
import { softmax } from './softmax.js';
import { topK } from './topk.js';

export { fits, matMul, quantizedMatMul, tiledMemory, tiledVariants, variantName, type MatMulChoice, type TiledVariant } from './matmul.js';
export { createWebgpuColumnSolver } from './solver.js';

/** Everything that kernels are written by hand for here. */
export const webgpuRoutines: RoutineTable = {
  matMul: (request, traits) => matMul(request, traits),
  quantizedMatMul: (request, traits) => quantizedMatMul(request, traits),
  softmax,
  normalization,
  attention: (request, traits) => attention(request, traits),
  topK,
};
