import { createPacer } from './pacer.js';
import type { Matrix, SolverOptions } from './matrix.js';

/** Inner indices whose rows of both operands stay in cache together. */
const depth = 512;

/**
 * A·Bᵀ for A [m, k] and B [n, k], accumulated in float64: [m, n]. Sixteen entries at a time, so that every number read is used four times.
 * @throws PARE_ABORTED
 */
export async function multiplyTransposed(a: Matrix, b: Matrix, { signal }: SolverOptions = {}): Promise<Matrix<Float64Array>> {
  const [m, n, inner] = [a.rows, b.rows, a.columns];
  if (inner !== b.columns) throw new RangeError(`rows of ${String(inner)} and ${String(b.columns)} entries have no product`);
  const pause = createPacer(signal, 'the matrix product');
  const data = new Float64Array(m * n);
  const paddedRows = Math.ceil(n / 4) * 4;
  // B in float64 and padded: one type in the inner loop, no edge on its side.
  for (let start = 0; start < inner; start += depth) {
    const length = Math.min(depth, inner - start);
    const panel = new Float64Array(paddedRows * length);
    for (let row = 0; row < n; row++) for (let k = 0; k < length; k++) panel[row * length + k] = b.data[row * inner + start + k]!;
    const strip = new Float64Array(4 * length);
    for (let row = 0; row < m; row += 4) {
      const height = Math.min(4, m - row);
      strip.fill(0);
      for (let r = 0; r < height; r++) for (let k = 0; k < length; k++) strip[r * length + k] = a.data[(row + r) * inner + start + k]!;
      for (let column = 0; column < n; column += 4) addTile(strip, panel, length, column, data, n, row, height);
      const waiting = pause();
      if (waiting !== undefined) await waiting;
    }
  }
  return { data, rows: m, columns: n };
}

function addTile(a: Float64Array, b: Float64Array, length: number, column: number, into: Float64Array, n: number, row: number, height: number): void {
  let [c00, c01, c02, c03, c10, c11, c12, c13] = [0, 0, 0, 0, 0, 0, 0, 0];
  let [c20, c21, c22, c23, c30, c31, c32, c33] = [0, 0, 0, 0, 0, 0, 0, 0];
  const [b0, b1, b2, b3] = [column * length, (column + 1) * length, (column + 2) * length, (column + 3) * length];
  const [a1, a2, a3] = [length, 2 * length, 3 * length];
  for (let k = 0; k < length; k++) {
    const x0 = a[k]!;
    const x1 = a[a1 + k]!;
    const x2 = a[a2 + k]!;
    const x3 = a[a3 + k]!;
    const y0 = b[b0 + k]!;
    const y1 = b[b1 + k]!;
    const y2 = b[b2 + k]!;
    const y3 = b[b3 + k]!;
    c00 += x0 * y0;
    c01 += x0 * y1;
    c02 += x0 * y2;
    c03 += x0 * y3;
    c10 += x1 * y0;
    c11 += x1 * y1;
    c12 += x1 * y2;
    c13 += x1 * y3;
    c20 += x2 * y0;
    c21 += x2 * y1;
    c22 += x2 * y2;
    c23 += x2 * y3;
    c30 += x3 * y0;
    c31 += x3 * y1;
    c32 += x3 * y2;
    c33 += x3 * y3;
  }
  const tile = [c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33];
  const width = Math.min(4, n - column);
  for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) into[(row + r) * n + column + c]! += tile[r * 4 + c]!;
}
