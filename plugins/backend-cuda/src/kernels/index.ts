import type { RoutineTable } from '@pare/executor';
import { attention } from './attention.js';
import { matMul, narrowingFor, quantizedMatMul, type Precision } from './matmul.js';
import { normalization, softmax } from './rows.js';
import { topK } from './topk.js';

export { createCudaColumnSolver } from './solver.js';

/** Compute capability from which on tensor cores take bfloat16 and tf32. */
const narrowCapability = 80;

/** Everything that kernels are written by hand for here, with products that multiply in this precision where the GPU can. */
export function cudaRoutines(wanted: Precision, capability: number): RoutineTable {
  const precision = capability < narrowCapability ? 'float32' : wanted;
  return {
    narrowing: narrowingFor(precision),
    matMul: (request) => matMul(request, precision),
    quantizedMatMul: (request) => quantizedMatMul(request, precision),
    softmax,
    normalization,
    attention: (request, traits) => attention(request, traits, precision === 'bfloat16'),
    topK,
  };
}
