import { completeRows, rotateRows, rowNorm } from './jacobi.js';
import { transposed, type Matrix, type SolverOptions } from './matrix.js';
import { multiplyTransposed } from './multiply.js';
import { hostProducts, type MatrixProducts } from './products.js';
import type { Svd } from './svd.js';
import { symmetricEigen } from './symmetric-eigen.js';

/**
 * The leading singular values and vectors from the eigenvectors of A·Aᵀ or Aᵀ·A, whichever is smaller: about a seventh of the work of `svd`. Squares do not
 * tell values below 1e-8 of the largest apart; the vectors are orthonormal all the same, and ‖A − U·Uᵀ·A‖ is the least there is, to that precision.
 * @throws PARE_ABORTED
 */
export async function gramSvd(matrix: Matrix, rank: number, products: MatrixProducts, { signal }: SolverOptions = {}): Promise<Svd> {
  const wide = matrix.rows <= matrix.columns;
  const { multiply, gram } = await sidesOf(matrix, products.precision === 'float64' ? products : hostProducts(matrix, { signal }), wide);
  const { vectors } = await symmetricEigen(gram, { signal });
  const size = vectors.rows;
  // Rising eigenvalues: the leading vectors are the last.
  const basis = { data: new Float64Array(rank * size), rows: rank, columns: size };
  for (let row = 0; row < rank; row++) basis.data.set(vectors.data.subarray((size - 1 - row) * size, (size - row) * size), row * size);
  // Uᵀ·A = Σ·Vᵀ has rows that are orthogonal as far as squares tell; rotations settle the rest.
  const projected = await multiply(basis);
  const rotations = new Float64Array(rank * rank);
  for (let index = 0; index < rank; index++) rotations[index * (rank + 1)] = 1;
  await rotateRows(projected, rotations, { signal });
  const turned = await multiplyTransposed({ data: rotations, rows: rank, columns: rank }, transposed(basis), { signal });
  const { near, values, far } = ranked(turned, projected);
  return wide ? { left: transposed(near), values, right: far } : { left: transposed(far), values, right: near };
}

/** The products with the side that has more entries, and the Gram matrix of the other. */
async function sidesOf(matrix: Matrix, products: MatrixProducts, wide: boolean): Promise<{ multiply: MatrixProducts['times']; gram: Matrix<Float64Array> }> {
  const { data, rows, columns } = wide ? matrix : transposed(matrix);
  const whole = { data: Float64Array.from(data), rows, columns };
  if (wide) return { multiply: (x) => products.times(x), gram: await products.timesTransposed(whole) };
  return { multiply: (x) => products.timesTransposed(x), gram: await products.times(whole) };
}

/** Rows of both matrices by falling norms of the second one's, which become 1. */
function ranked(near: Matrix<Float64Array>, far: Matrix<Float64Array>): { near: Matrix<Float64Array>; values: Float64Array; far: Matrix<Float64Array> } {
  const rank = far.rows;
  const norms = Float64Array.from({ length: rank }, (_, row) => rowNorm(far.data, row * far.columns, far.columns));
  const ranking = Int32Array.from({ length: rank }, (_, row) => row).sort((a, b) => norms[b]! - norms[a]! || a - b);
  const values = Float64Array.from(ranking, (row) => norms[row]!);
  const result = { near: { ...near, data: new Float64Array(near.data.length) }, values, far: { ...far, data: new Float64Array(far.data.length) } };
  for (const [to, from] of ranking.entries()) {
    result.near.data.set(near.data.subarray(from * near.columns, (from + 1) * near.columns), to * near.columns);
    if (values[to]! > 0) for (let index = 0; index < far.columns; index++) result.far.data[to * far.columns + index] = far.data[from * far.columns + index]! / values[to]!;
  }
  completeRows(result.far.data, rank, far.columns, values.findLastIndex((value) => value > 0) + 1);
  return result;
}
