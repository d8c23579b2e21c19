import type { RoutineTable } from '@pare/executor';
import { matMul } from './matmul.js';
import { normalization } from './normalization.js';
import { softmax } from './softmax.js';

export { fits, matMul, tiledMemory, tiledVariants, variantName, type MatMulChoice, type TiledVariant } from './matmul.js';

/** Everything that kernels are written by hand for here. */
export const webgpuRoutines: RoutineTable = { matMul: (request, traits) => matMul(request, traits), softmax, normalization };
