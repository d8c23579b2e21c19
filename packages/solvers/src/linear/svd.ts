import { completeRows, rotateRows, rowNorm } from './jacobi.js';
import { assertMatrix, binaryScale, transposed, type Matrix, type SolverOptions } from './matrix.js';
import { multiplyTransposed } from './multiply.js';
import { qr } from './qr.js';

/** A = U·diag(σ)·Vᵀ, thin: k = min(rows, columns), or the rank asked for. */
export interface Svd {
  /** U [rows, k], orthonormal columns; the entry of the largest magnitude in each is positive. */
  readonly left: Matrix<Float64Array>;
  /** σ [k], falling, never negative. */
  readonly values: Float64Array;
  /** Vᵀ [k, columns], orthonormal rows. */
  readonly right: Matrix<Float64Array>;
}

/**
 * All singular values and vectors by one-sided Jacobi rotations in float64 (Hestenes 1958), on the triangle of a pivoted QR factorization (Drmač & Veselić 2008): small
 * singular values are as exact as the entries allow. O(rows·columns² + 10·k³); for a few values of a large matrix see `truncatedSvd`.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED
 */
export async function svd(matrix: Matrix, { signal }: SolverOptions = {}): Promise<Svd> {
  assertMatrix(matrix);
  if (matrix.rows < matrix.columns) {
    const { left, values, right } = await svd(transposed(matrix), { signal });
    return withSigns({ left: transposed(right), values, right: transposed(left) });
  }
  const { rows, columns } = matrix;
  const scale = binaryScale(matrix.data);
  const { q, r, order } = await qr({ data: Float64Array.from(matrix.data, (value) => value * scale), rows, columns }, { signal, pivot: true });
  // Rotations J with J·R = Σ·W of orthogonal rows: A = (Q·Jᵀ)·Σ·(W·Pᵀ).
  const rotated = r.data;
  const rotations = new Float64Array(columns * columns);
  for (let index = 0; index < columns; index++) rotations[index * (columns + 1)] = 1;
  await rotateRows(r, rotations, { signal });
  const basis = await multiplyTransposed(q, { data: rotations, rows: columns, columns }, { signal });
  const norms = Float64Array.from({ length: columns }, (_, row) => rowNorm(rotated, row * columns, columns));
  const ranking = Int32Array.from({ length: columns }, (_, row) => row).sort((a, b) => norms[b]! - norms[a]! || a - b);
  const values = new Float64Array(columns);
  const left = new Float64Array(rows * columns);
  const right = new Float64Array(columns * columns);
  for (const [rank, row] of ranking.entries()) {
    values[rank] = norms[row]! / scale;
    for (let i = 0; i < rows; i++) left[i * columns + rank] = basis.data[i * columns + row]!;
    if (norms[row]! > 0) for (let j = 0; j < columns; j++) right[rank * columns + order[j]!] = rotated[row * columns + j]! / norms[row]!;
  }
  completeRows(right, columns, columns, ranking.reduce((count, row) => count + (norms[row]! > 0 ? 1 : 0), 0));
  return withSigns({ left: { data: left, rows, columns }, values, right: { data: right, rows: columns, columns } });
}

/** Turns pairs of vectors around so that the entry of the largest magnitude in each left vector is positive; the first of equal ones decides. */
export function withSigns(result: Svd): Svd {
  const { left, right } = result;
  for (let k = 0; k < left.columns; k++) {
    let largest = 0;
    for (let row = 0; row < left.rows; row++) {
      const value = left.data[row * left.columns + k]!;
      if (Math.abs(value) > Math.abs(largest)) largest = value;
    }
    if (largest >= 0) continue;
    for (let index = k; index < left.data.length; index += left.columns) left.data[index] = -left.data[index]!;
    for (let index = k * right.columns; index < (k + 1) * right.columns; index++) right.data[index] = -right.data[index]!;
  }
  return result;
}
