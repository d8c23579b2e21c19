import { pareError } from '@pare/core';

/** A matrix [rows, columns], row-major. */
export interface Matrix<D extends Float32Array | Float64Array = Float32Array | Float64Array> {
  readonly data: D;
  readonly rows: number;
  readonly columns: number;
}

/** What long computations take beside their matrix. */
export interface SolverOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Refuses a matrix that has NaN or infinite entries.
 * @throws PARE_WEIGHT_NOT_FINITE, RangeError when sizes do not fit
 */
export function assertMatrix({ data, rows, columns }: Matrix): void {
  if (data.length !== rows * columns) throw new RangeError(`a matrix [${String(rows)}, ${String(columns)}] has ${String(rows * columns)} entries, got ${String(data.length)}`);
  let check = 0;
  for (const value of data) check += value * 0;
  if (check === 0) return;
  const index = data.findIndex((value: number) => !Number.isFinite(value));
  throw pareError('PARE_WEIGHT_NOT_FINITE', { tensor: 'matrix', index, value: String(data[index]) });
}

/** The transpose, tile by tile so that both sides stay in cache. */
export function transposed<D extends Float32Array | Float64Array>({ data, rows, columns }: Matrix<D>): Matrix<D> {
  const result = new (data.constructor as new (length: number) => D)(data.length);
  const tile = 32;
  for (let row = 0; row < rows; row += tile) {
    for (let column = 0; column < columns; column += tile) {
      for (let i = row; i < Math.min(rows, row + tile); i++) for (let j = column; j < Math.min(columns, column + tile); j++) result[j * rows + i] = data[i * columns + j]!;
    }
  }
  return { data: result, rows: columns, columns: rows };
}

/** Σ of squares. */
export function energy(data: Float32Array | Float64Array): number {
  let sum = 0;
  for (const value of data) sum += value * value;
  return sum;
}

/** The power of two that brings the largest magnitude into [1, 2); 1 for a matrix of zeros. Scaling by it loses no bit and keeps squares in range. */
export function binaryScale(data: Float32Array | Float64Array): number {
  let largest = 0;
  for (const value of data) largest = Math.max(largest, Math.abs(value));
  if (largest === 0) return 1;
  // Subnormal largest entries would need a factor beyond the range.
  return 2 ** Math.min(1000, -Math.floor(Math.log2(largest)));
}
