/* Kernels of the column solver. Everything lives in imported memory that the caller lays out; there is no allocator and no static data. */
export { cholesky, invert } from './factorize';
export { loadStrips, sweepPruner } from './prune';
export { packFactor, propagateStrips, sweepQuantizer } from './sweep';
