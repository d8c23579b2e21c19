import { pareError } from '@pare/core';
import { cholesky } from '@pare/solvers';

/** A square root of the inputs' Gram matrix. */
export interface Whitening {
  /** L [size, size] row-major, lower triangular, zeros above: L·Lᵀ = Σ x·xᵀ + damping · mean(diag) · I. */
  readonly root: Float64Array;
  /** The damping that was used. */
  readonly damping: number;
}

/**
 * The Cholesky factor of a Gram matrix in float64, with as much damping as it takes, from `damping` on by factors of ten. Undefined when all inputs were always zero.
 * @throws PARE_STATISTIC_NOT_FINITE, PARE_FACTORIZATION_FAILED
 */
export function whiten(gram: Float32Array | Float64Array, size: number, damping: number): Whitening | undefined {
  const bad = gram.findIndex((value: number) => !Number.isFinite(value));
  if (bad !== -1) throw pareError('PARE_STATISTIC_NOT_FINITE', { statistic: 'Gram matrix of the inputs', row: Math.floor(bad / size), column: bad % size, value: String(gram[bad]) });
  let mean = 0;
  for (let index = 0; index < size; index++) mean += gram[index * (size + 1)]! / size;
  if (mean === 0) return undefined;
  for (let share = damping; share < 1; share *= 10) {
    const root = new Float64Array(size * size);
    for (let row = 0; row < size; row++) for (let column = 0; column <= row; column++) root[row * size + column] = gram[row * size + column]!;
    for (let index = 0; index < size; index++) root[index * (size + 1)]! += share * mean;
    if (cholesky(root, size)) return { root, damping: share };
  }
  throw pareError('PARE_FACTORIZATION_FAILED', { size, damping: 1 });
}
