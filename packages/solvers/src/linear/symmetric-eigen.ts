import { dot } from './dot.js';
import { createPacer } from './pacer.js';
import { assertMatrix, type Matrix, type SolverOptions } from './matrix.js';

/** A = Σ λ·v·vᵀ. */
export interface SymmetricEigen {
  /** λ [n], rising. */
  readonly values: Float64Array;
  /** Eigenvectors as rows [n, n], orthonormal; the entry of the largest magnitude in each is positive. */
  readonly vectors: Matrix<Float64Array>;
}

/**
 * Eigenvalues and eigenvectors of a symmetric matrix in float64: Householder reflections to a tridiagonal matrix, then implicit QL with Wilkinson's shift (Golub & Van
 * Loan, Matrix Computations, 8.3). Only the lower triangle is read.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED, RangeError when it is not square
 */
export async function symmetricEigen(matrix: Matrix, { signal }: SolverOptions = {}): Promise<SymmetricEigen> {
  assertMatrix(matrix);
  const size = matrix.rows;
  if (matrix.columns !== size) throw new RangeError(`a matrix [${String(size)}, ${String(matrix.columns)}] is not symmetric`);
  const a = new Float64Array(size * size);
  for (let row = 0; row < size; row++) for (let column = 0; column <= row; column++) a[row * size + column] = a[column * size + row] = matrix.data[row * size + column]!;
  const { diagonal, off, vectors } = await tridiagonal(a, size, signal);
  await implicitQl(diagonal, off, vectors, size, signal);
  const ranking = Int32Array.from({ length: size }, (_, index) => index).sort((x, y) => diagonal[x]! - diagonal[y]! || x - y);
  const sorted = new Float64Array(size * size);
  for (const [rank, row] of ranking.entries()) {
    const own = vectors.subarray(row * size, (row + 1) * size);
    const largest = own.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
    for (let index = 0; index < size; index++) sorted[rank * size + index] = largest < 0 ? -own[index]! : own[index]!;
  }
  return { values: Float64Array.from(ranking, (index) => diagonal[index]!), vectors: { data: sorted, rows: size, columns: size } };
}

/** A = Q·T·Qᵀ: diag T, its subdiagonal (off[i] between i and i + 1), and Qᵀ. Overwrites `a`. */
async function tridiagonal(a: Float64Array, size: number, signal: AbortSignal | undefined): Promise<{ diagonal: Float64Array; off: Float64Array; vectors: Float64Array }> {
  const pause = createPacer(signal, 'the eigenvalue decomposition');
  const off = new Float64Array(size);
  const reflectors: { vector: Float64Array; beta: number }[] = [];
  for (let step = 0; step + 1 < size; step++) {
    const start = step + 1;
    const count = size - start;
    // The column below the diagonal, from its equal row.
    const vector = a.slice(step * size + start, (step + 1) * size);
    const scale = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    let beta = 0;
    off[step] = vector[0]!;
    if (scale > 0 && count > 1) {
      let square = 0;
      for (const value of vector) square += (value / scale) ** 2;
      const norm = scale * Math.sqrt(square);
      if (norm !== Math.abs(vector[0]!)) {
        const first = vector[0]! + (vector[0]! < 0 ? -norm : norm);
        off[step] = vector[0]! < 0 ? norm : -norm;
        for (let index = 0; index < count; index++) vector[index] = vector[index]! / first;
        vector[0] = 1;
        beta = Math.abs(first) / norm;
        reflectBothSides(a, size, start, vector, beta);
      }
    }
    reflectors.push({ vector, beta });
    const waiting = pause();
    if (waiting !== undefined) await waiting;
  }
  const vectors = new Float64Array(size * size);
  for (let index = 0; index < size; index++) vectors[index * size + index] = 1;
  for (let step = size - 2; step >= 0; step--) {
    const { vector, beta } = reflectors[step]!;
    const start = step + 1;
    for (let row = start; beta !== 0 && row < size; row++) {
      const at = row * size + start;
      const sum = beta * dot(vectors, at, vector, 0, vector.length);
      for (let index = 0; index < vector.length; index++) vectors[at + index] = vectors[at + index]! - sum * vector[index]!;
    }
    const waiting = pause();
    if (waiting !== undefined) await waiting;
  }
  return { diagonal: Float64Array.from({ length: size }, (_, index) => a[index * size + index]!), off, vectors };
}

/** A ← H·A·H of the trailing block, H = I − β·v·vᵀ: A − v·wᵀ − w·vᵀ with w = p − (β/2)(pᵀv)·v, p = β·A·v. */
function reflectBothSides(a: Float64Array, size: number, start: number, vector: Float64Array, beta: number): void {
  const count = vector.length;
  const w = new Float64Array(count);
  let product = 0;
  for (let row = 0; row < count; row++) {
    const at = (start + row) * size + start;
    w[row] = beta * dot(a, at, vector, 0, count);
    product += w[row]! * vector[row]!;
  }
  for (let row = 0; row < count; row++) w[row] = w[row]! - (beta / 2) * product * vector[row]!;
  for (let row = 0; row < count; row++) {
    const at = (start + row) * size + start;
    const [v, x] = [vector[row]!, w[row]!];
    for (let column = 0; column < count; column++) a[at + column] = a[at + column]! - (v * w[column]! + x * vector[column]!);
  }
}

/** Diagonalizes T in place; the rows of `vectors` become the eigenvectors. */
async function implicitQl(diagonal: Float64Array, off: Float64Array, vectors: Float64Array, size: number, signal: AbortSignal | undefined): Promise<void> {
  const pause = createPacer(signal, 'the eigenvalue decomposition');
  for (let first = 0; first < size; first++) {
    for (;;) {
      let last = first;
      while (last + 1 < size && Math.abs(off[last]!) > Number.EPSILON * (Math.abs(diagonal[last]!) + Math.abs(diagonal[last + 1]!))) last += 1;
      if (last === first) break;
      // Wilkinson's shift: the eigenvalue of the leading 2 × 2 block that is nearer to its first entry.
      const gap = (diagonal[first + 1]! - diagonal[first]!) / (2 * off[first]!);
      const root = Math.hypot(gap, 1);
      let carried = diagonal[last]! - diagonal[first]! + off[first]! / (gap + (gap < 0 ? -root : root));
      let [sine, cosine, shift] = [1, 1, 0];
      let index = last - 1;
      for (; index >= first; index--) {
        const along = sine * off[index]!;
        const across = cosine * off[index]!;
        const length = Math.hypot(along, carried);
        off[index + 1] = length;
        if (length === 0) {
          // The matrix falls apart here; start again with the smaller part.
          diagonal[index + 1] = diagonal[index + 1]! - shift;
          off[last] = 0;
          break;
        }
        sine = along / length;
        cosine = carried / length;
        const lower = diagonal[index + 1]! - shift;
        const twist = (diagonal[index]! - lower) * sine + 2 * cosine * across;
        shift = sine * twist;
        diagonal[index + 1] = lower + shift;
        carried = cosine * twist - across;
        const [x, y] = [index * size, (index + 1) * size];
        for (let k = 0; k < size; k++) {
          const p = vectors[x + k]!;
          const q = vectors[y + k]!;
          vectors[y + k] = sine * p + cosine * q;
          vectors[x + k] = cosine * p - sine * q;
        }
      }
      if (index < first) {
        diagonal[first] = diagonal[first]! - shift;
        off[first] = carried;
        off[last] = 0;
      }
      const waiting = pause();
      if (waiting !== undefined) await waiting;
    }
  }
}
