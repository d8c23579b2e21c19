import type { RoutineTable } from '@pare/executor';
import { attention } from './attention.js';
import { matMul, quantizedMatMul, type Precision } from './matmul.js';
import { normalization, softmax } from './rows.js';
import { topK } from './topk.js';

export { createCudaColumnSolver } from './solver.js';

/** Everything that kernels are written by hand for here, with products that multiply in this precision. */
export function cudaRoutines(precision: Precision): RoutineTable {
  return {
    matMul: (request) => matMul(request, precision),
    quantizedMatMul: (request) => quantizedMatMul(request, precision),
    softmax,
    normalization,
    attention,
    topK,
  };
}
