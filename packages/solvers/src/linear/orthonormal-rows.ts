import { createPacer } from './pacer.js';
import { energy, type Matrix, type SolverOptions } from './matrix.js';

/**
 * Gram–Schmidt, each row twice (which is enough: Giraud, Langou & Rozložník 2005), in place. Rows that depend on those before become zero: they add nothing to the range.
 * @throws PARE_ABORTED
 */
export async function orthonormalRows(matrix: Matrix<Float64Array>, { signal }: SolverOptions = {}): Promise<Matrix<Float64Array>> {
  const { data, rows, columns } = matrix;
  const pause = createPacer(signal, 'the range finder');
  for (let row = 0; row < rows; row++) {
    const own = data.subarray(row * columns, (row + 1) * columns);
    const before = Math.sqrt(energy(own));
    removeProjections(own, data, row);
    removeProjections(own, data, row);
    const length = Math.sqrt(energy(own));
    const dependent = length <= before * 1e-14;
    for (let index = 0; index < columns; index++) own[index] = dependent ? 0 : own[index]! / length;
    const waiting = pause();
    if (waiting !== undefined) await waiting;
  }
  return matrix;
}

/** Takes the projections on the first `count` rows of `basis` from a vector; four rows at a time, so that every entry of the vector that is read serves four products. */
function removeProjections(vector: Float64Array, basis: Float64Array, count: number): void {
  const length = vector.length;
  let row = 0;
  for (; row + 4 <= count; row += 4) {
    const [a, b, c, d] = [row * length, (row + 1) * length, (row + 2) * length, (row + 3) * length];
    let [s, t, u, v] = [0, 0, 0, 0];
    for (let index = 0; index < length; index++) {
      const x = vector[index]!;
      s += x * basis[a + index]!;
      t += x * basis[b + index]!;
      u += x * basis[c + index]!;
      v += x * basis[d + index]!;
    }
    for (let index = 0; index < length; index++) vector[index] = vector[index]! - (s * basis[a + index]! + t * basis[b + index]! + (u * basis[c + index]! + v * basis[d + index]!));
  }
  for (; row < count; row++) {
    const start = row * length;
    let sum = 0;
    for (let index = 0; index < length; index++) sum += vector[index]! * basis[start + index]!;
    for (let index = 0; index < length; index++) vector[index] = vector[index]! - sum * basis[start + index]!;
  }
}
