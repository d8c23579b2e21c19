import { createPacer } from './pacer.js';
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

/** Cosine between two rows below which they count as orthogonal. */
const tolerance = 2 ** -50;

/** Sweeps that a matrix gets; about ten do for any, the rest is for rounding at the tolerance. */
const mostSweeps = 60;

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
  await rotate(rotated, columns, rotations, signal);
  const basis = await multiplyTransposed(q, { data: rotations, rows: columns, columns }, { signal });
  const norms = Float64Array.from({ length: columns }, (_, row) => norm(rotated, row * columns, columns));
  const ranking = Int32Array.from({ length: columns }, (_, row) => row).sort((a, b) => norms[b]! - norms[a]! || a - b);
  const values = new Float64Array(columns);
  const left = new Float64Array(rows * columns);
  const right = new Float64Array(columns * columns);
  for (const [rank, row] of ranking.entries()) {
    values[rank] = norms[row]! / scale;
    for (let i = 0; i < rows; i++) left[i * columns + rank] = basis.data[i * columns + row]!;
    if (norms[row]! > 0) for (let j = 0; j < columns; j++) right[rank * columns + order[j]!] = rotated[row * columns + j]! / norms[row]!;
  }
  completeRows(right, columns, ranking.reduce((count, row) => count + (norms[row]! > 0 ? 1 : 0), 0));
  return withSigns({ left: { data: left, rows, columns }, values, right: { data: right, rows: columns, columns } });
}

/** Rotates pairs of rows of `a` [size, size] until all are orthogonal, and the rows of `rotations` [size, size] with them. */
async function rotate(a: Float64Array, size: number, rotations: Float64Array, signal: AbortSignal | undefined): Promise<void> {
  const pause = createPacer(signal, 'the singular value decomposition');
  const squares = new Float64Array(size);
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    for (let row = 0; row < size; row++) squares[row] = dot(a, row * size, row * size, size);
    let turns = 0;
    for (let one = 0; one < size - 1; one++) {
      for (let other = one + 1; other < size; other++) {
        const x = one * size;
        const y = other * size;
        const product = dot(a, x, y, size);
        if (product === 0 || Math.abs(product) <= tolerance * Math.sqrt(squares[one]!) * Math.sqrt(squares[other]!)) continue;
        turns += 1;
        const zeta = (squares[other]! - squares[one]!) / (2 * product);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        const sine = cosine * tangent;
        turn(a, x, y, size, cosine, sine);
        turn(rotations, x, y, size, cosine, sine);
        squares[one] = Math.max(0, squares[one]! - tangent * product);
        squares[other] = squares[other]! + tangent * product;
      }
      const waiting = pause();
      if (waiting !== undefined) await waiting;
    }
    if (turns === 0) return;
  }
}

function turn(a: Float64Array, x: number, y: number, length: number, cosine: number, sine: number): void {
  for (let index = 0; index < length; index++) {
    const p = a[x + index]!;
    const q = a[y + index]!;
    a[x + index] = cosine * p - sine * q;
    a[y + index] = sine * p + cosine * q;
  }
}

/** Four sums at once: a single one would wait for itself at every step. */
function dot(a: Float64Array, x: number, y: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let index = 0;
  for (; index + 3 < length; index += 4) {
    s0 += a[x + index]! * a[y + index]!;
    s1 += a[x + index + 1]! * a[y + index + 1]!;
    s2 += a[x + index + 2]! * a[y + index + 2]!;
    s3 += a[x + index + 3]! * a[y + index + 3]!;
  }
  for (; index < length; index++) s0 += a[x + index]! * a[y + index]!;
  return s0 + s1 + (s2 + s3);
}

/** The norm of a row of a matrix with entries around 1; 0 where squares would leave the range. */
function norm(a: Float64Array, start: number, length: number): number {
  const square = dot(a, start, start, length);
  return square < 1e-290 ? 0 : Math.sqrt(square);
}

/** Fills the rows from `count` on of `a` [size, size] with unit vectors that are orthogonal to the rows before. */
function completeRows(a: Float64Array, size: number, count: number): void {
  for (let row = count; row < size; row++) {
    // The axis that the rows so far cover least.
    const covered = new Float64Array(size);
    for (let index = 0; index < row * size; index++) covered[index % size]! += a[index]! ** 2;
    const axis = covered.indexOf(covered.reduce((least, value) => Math.min(least, value), Infinity));
    const start = row * size;
    a.fill(0, start, start + size);
    a[start + axis] = 1;
    // Twice is enough (Kahan, Parlett).
    for (let round = 0; round < 2; round++) {
      for (let before = 0; before < row; before++) {
        const product = dot(a, before * size, start, size);
        for (let j = 0; j < size; j++) a[start + j] = a[start + j]! - product * a[before * size + j]!;
      }
      const length = Math.sqrt(dot(a, start, start, size));
      for (let j = 0; j < size; j++) a[start + j] = a[start + j]! / length;
    }
  }
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
