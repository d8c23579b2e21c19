import { dot } from './dot.js';
import { createPacer } from './pacer.js';
import type { Matrix, SolverOptions } from './matrix.js';

/** Cosine between two rows of this length below which they count as orthogonal: rounding of their product, as LAPACK's xGESVJ has it. */
const toleranceOf = (columns: number): number => Math.max(2 ** -50, Math.sqrt(columns) * 2 ** -52);

/** Sweeps that a matrix gets; about ten do for any, the rest is for rounding at the tolerance. */
const mostSweeps = 60;

/**
 * Rotates pairs of rows of a matrix [rows, columns], in place, until all are orthogonal, and the rows of `rotations` [rows, rows] with them.
 * @throws PARE_ABORTED
 */
export async function rotateRows({ data: a, rows, columns }: Matrix<Float64Array>, rotations: Float64Array, { signal }: SolverOptions = {}): Promise<void> {
  const pause = createPacer(signal, 'the singular value decomposition');
  const squares = new Float64Array(rows);
  const tolerance = toleranceOf(columns);
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    for (let row = 0; row < rows; row++) squares[row] = dot(a, row * columns, a, row * columns, columns);
    let turns = 0;
    for (let one = 0; one < rows - 1; one++) {
      for (let other = one + 1; other < rows; other++) {
        const x = one * columns;
        const y = other * columns;
        const product = dot(a, x, a, y, columns);
        if (product === 0 || Math.abs(product) <= tolerance * Math.sqrt(squares[one]!) * Math.sqrt(squares[other]!)) continue;
        turns += 1;
        const zeta = (squares[other]! - squares[one]!) / (2 * product);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        const sine = cosine * tangent;
        turn(a, x, y, columns, cosine, sine);
        turn(rotations, one * rows, other * rows, rows, cosine, sine);
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

/** The norm of a row, which starts at an index, of a matrix with entries around 1; 0 where squares would leave the range. */
export function rowNorm(a: Float64Array, start: number, length: number): number {
  const square = dot(a, start, a, start, length);
  return square < 1e-290 ? 0 : Math.sqrt(square);
}

/** Fills the rows from `count` on of `a` [rows, columns], which has no more rows than columns, with unit vectors that are orthogonal to the rows before. */
export function completeRows(a: Float64Array, rows: number, columns: number, count: number): void {
  for (let row = count; row < rows; row++) {
    // The axis that the rows so far cover least.
    const covered = new Float64Array(columns);
    for (let index = 0; index < row * columns; index++) covered[index % columns]! += a[index]! ** 2;
    const axis = covered.indexOf(covered.reduce((least, value) => Math.min(least, value), Infinity));
    const start = row * columns;
    a.fill(0, start, start + columns);
    a[start + axis] = 1;
    // Twice is enough (Kahan, Parlett).
    for (let round = 0; round < 2; round++) {
      for (let before = 0; before < row; before++) {
        const product = dot(a, before * columns, a, start, columns);
        for (let j = 0; j < columns; j++) a[start + j] = a[start + j]! - product * a[before * columns + j]!;
      }
      const length = Math.sqrt(dot(a, start, a, start, columns));
      for (let j = 0; j < columns; j++) a[start + j] = a[start + j]! / length;
    }
  }
}
