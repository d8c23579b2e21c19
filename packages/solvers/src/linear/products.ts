import { transposed, type Matrix, type SolverOptions } from './matrix.js';
import { multiplyTransposed } from './multiply.js';

/** Products of one matrix A [rows, columns] with many vectors at a time, on whatever device computes them fastest. Vectors lie as rows. */
export interface MatrixProducts {
  /** What products are accumulated in. Those in float32 serve to look for directions; what is made of them is computed in float64. */
  readonly precision: 'float32' | 'float64';
  /** X·Aᵀ of X [count, columns]: [count, rows]. */
  timesTransposed(x: Matrix<Float64Array>): Promise<Matrix<Float64Array>>;
  /** X·A of X [count, rows]: [count, columns]. */
  times(x: Matrix<Float64Array>): Promise<Matrix<Float64Array>>;
}

/** Products on the calling thread, in float64. */
export function hostProducts(matrix: Matrix, options: SolverOptions = {}): MatrixProducts {
  let turned: Matrix | undefined;
  return {
    precision: 'float64',
    timesTransposed: (x) => multiplyTransposed(x, matrix, options),
    times: (x) => multiplyTransposed(x, (turned ??= transposed(matrix)), options),
  };
}
