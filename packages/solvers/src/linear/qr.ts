import { createPacer } from './pacer.js';
import { assertMatrix, type Matrix, type SolverOptions } from './matrix.js';

export interface QrFactors {
  /** [rows, k], k = min(rows, columns), orthonormal columns. */
  readonly q: Matrix<Float64Array>;
  /** [k, columns], upper triangular, no negative number on its diagonal. */
  readonly r: Matrix<Float64Array>;
  /** Column of A at each column of Q·R; the natural order unless pivoting was asked for. */
  readonly order: Int32Array;
}

/**
 * A = Q·R by Householder reflections in float64 (Householder 1958; Golub & Van Loan, Matrix Computations, 5.2). With `pivot`, A[:, order] = Q·R where each step takes
 * the remaining column of the largest norm, so that the diagonal of R falls.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED
 */
export async function qr(matrix: Matrix, { signal, pivot = false }: SolverOptions & { readonly pivot?: boolean } = {}): Promise<QrFactors> {
  assertMatrix(matrix);
  const { rows, columns } = matrix;
  const pause = createPacer(signal, 'the QR factorization');
  const size = Math.min(rows, columns);
  const a = Float64Array.from(matrix.data);
  const order = Int32Array.from({ length: columns }, (_, column) => column);
  const reflectors: { vector: Float64Array; beta: number }[] = [];
  const sums = new Float64Array(columns);
  for (let step = 0; step < size; step++) {
    if (pivot) swapColumns(a, columns, order, step, largestColumn(a, rows, columns, step));
    const reflector = reflectorOf(a, rows, columns, step);
    reflectors.push(reflector);
    reflect(reflector, a, columns, step, step, sums);
    for (let row = step + 1; row < rows; row++) a[row * columns + step] = 0;
    const waiting = pause();
    if (waiting !== undefined) await waiting;
  }
  const q = new Float64Array(rows * size);
  for (let index = 0; index < size; index++) q[index * size + index] = 1;
  for (let step = size - 1; step >= 0; step--) {
    reflect(reflectors[step]!, q, size, step, step, sums);
    const waiting = pause();
    if (waiting !== undefined) await waiting;
  }
  const r = a.slice(0, size * columns);
  for (let index = 0; index < size; index++) {
    if (r[index * columns + index]! >= 0) continue;
    for (let column = index; column < columns; column++) r[index * columns + column] = -r[index * columns + column]!;
    for (let row = 0; row < rows; row++) q[row * size + index] = -q[row * size + index]!;
  }
  return { q: { data: q, rows, columns: size }, r: { data: r, rows: size, columns }, order };
}

/** I − β·v·vᵀ that maps the column below and on the diagonal to a multiple of the first unit vector. */
function reflectorOf(a: Float64Array, rows: number, columns: number, step: number): { vector: Float64Array; beta: number } {
  const vector = Float64Array.from({ length: rows - step }, (_, index) => a[(step + index) * columns + step]!);
  const norm = Math.hypot(...chunkNorms(vector));
  const head = vector[0]!;
  if (norm === 0 || norm === Math.abs(head)) return { vector, beta: 0 };
  // Away from zero: no cancellation. Scaled to a head of 1, so that tiny columns keep their squares.
  const first = head + (head < 0 ? -norm : norm);
  for (let index = 0; index < vector.length; index++) vector[index] = vector[index]! / first;
  vector[0] = 1;
  return { vector, beta: Math.abs(first) / norm };
}

/** Norms of short runs, so that hypot, which guards against overflow and underflow, gets few arguments. */
function chunkNorms(vector: Float64Array): number[] {
  const norms: number[] = [];
  for (let start = 0; start < vector.length; start += 256) norms.push(Math.hypot(...vector.subarray(start, start + 256)));
  return norms;
}

/** Applies a reflector to rows from `top` and columns from `left`, row by row. */
function reflect({ vector, beta }: { vector: Float64Array; beta: number }, a: Float64Array, columns: number, top: number, left: number, sums: Float64Array): void {
  if (beta === 0) return;
  sums.fill(0, left, columns);
  for (let index = 0, row = top * columns; index < vector.length; index++, row += columns) {
    const v = vector[index]!;
    if (v !== 0) for (let column = left; column < columns; column++) sums[column] = sums[column]! + v * a[row + column]!;
  }
  for (let index = 0, row = top * columns; index < vector.length; index++, row += columns) {
    const v = beta * vector[index]!;
    if (v !== 0) for (let column = left; column < columns; column++) a[row + column] = a[row + column]! - v * sums[column]!;
  }
}

/** Column from `step` on with the largest norm below row `step`; the first of equal ones. */
function largestColumn(a: Float64Array, rows: number, columns: number, step: number): number {
  const sums = new Float64Array(columns);
  for (let row = step; row < rows; row++) for (let column = step; column < columns; column++) sums[column] = sums[column]! + a[row * columns + column]! ** 2;
  let best = step;
  for (let column = step + 1; column < columns; column++) if (sums[column]! > sums[best]!) best = column;
  return best;
}

function swapColumns(a: Float64Array, columns: number, order: Int32Array, one: number, other: number): void {
  if (one === other) return;
  [order[one], order[other]] = [order[other]!, order[one]!];
  for (let row = 0; row < a.length; row += columns) [a[row + one], a[row + other]] = [a[row + other]!, a[row + one]!];
}
