import { createRandom } from '@pare/core';
import { createPacer } from './pacer.js';
import { assertMatrix, energy, transposed, type Matrix, type SolverOptions } from './matrix.js';
import { multiplyTransposed } from './multiply.js';
import { svd, withSigns, type Svd } from './svd.js';

export interface TruncatedSvdOptions extends SolverOptions {
  /** Singular values that are kept, 1 … min(rows, columns). */
  readonly rank: number;
  /** Directions that the range finder takes beyond the rank. 10 by default. */
  readonly oversample?: number;
  /** How often A·Aᵀ sharpens the directions. 2 by default. */
  readonly powerIterations?: number;
  /** 0 by default: same matrix, same result. */
  readonly seed?: number;
}

export interface TruncatedSvd extends Svd {
  /** ‖A − U·Σ·Vᵀ‖_F. */
  readonly error: number;
  /** ‖A − Q·Qᵀ·A‖_F for the basis Q that was found: no singular value is further below its true one (Weyl). 0 when the decomposition is exact. */
  readonly bound: number;
}

/**
 * The leading singular values and vectors of a large matrix: randomised range finder with power iterations (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithms 4.4
 * and 5.1), or all of them by `svd`, cut off, where the rank is more than a fifth of what there is and the range finder would gain nothing.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED, RangeError for a rank that does not exist
 */
export async function truncatedSvd(matrix: Matrix, { rank, oversample = 10, powerIterations = 2, seed = 0, signal }: TruncatedSvdOptions): Promise<TruncatedSvd> {
  const { rows, columns } = matrix;
  const size = Math.min(rows, columns);
  if (!Number.isInteger(rank) || rank < 1 || rank > size) throw new RangeError(`rank ${String(rank)} of a matrix [${String(rows)}, ${String(columns)}]`);
  const directions = rank + oversample;
  if (directions * 5 > size) {
    const whole = await svd(matrix, { signal });
    return { ...firstOf(whole, rank), error: Math.sqrt(energy(whole.values.subarray(rank))), bound: 0 };
  }
  assertMatrix(matrix);
  const turned = transposed(matrix);
  const normal = createNormal(seed);
  // Bases lie as rows, [directions, rows] and [directions, columns]: every product is one of rows with rows.
  let basis: Matrix<Float64Array> = { data: Float64Array.from({ length: directions * columns }, normal), rows: directions, columns };
  let range = await orthonormalRows(await multiplyTransposed(basis, matrix, { signal }), signal);
  for (let iteration = 0; iteration < powerIterations; iteration++) {
    basis = await orthonormalRows(await multiplyTransposed(range, turned, { signal }), signal);
    range = await orthonormalRows(await multiplyTransposed(basis, matrix, { signal }), signal);
  }
  const projected = await multiplyTransposed(range, turned, { signal });
  const inner = firstOf(await svd(projected, { signal }), rank);
  const left = await multiplyTransposed(transposed(range), transposed(inner.left), { signal });
  // What orthogonal projections leave out: ‖A − QQᵀA‖² = ‖A‖² − ‖QᵀA‖².
  const leftOver = (kept: Float64Array): number => Math.sqrt(Math.max(0, energy(matrix.data) - energy(kept)));
  return { ...withSigns({ left, values: inner.values, right: inner.right }), error: leftOver(inner.values), bound: leftOver(projected.data) };
}

function firstOf({ left, values, right }: Svd, rank: number): Svd {
  const data = Float64Array.from({ length: left.rows * rank }, (_, index) => left.data[Math.floor(index / rank) * left.columns + (index % rank)]!);
  return { left: { data, rows: left.rows, columns: rank }, values: values.slice(0, rank), right: { ...right, data: right.data.slice(0, rank * right.columns), rows: rank } };
}

/** Gram–Schmidt, each row twice, in place. Rows that depend on those before become zero: they add nothing to the range. */
async function orthonormalRows(matrix: Matrix<Float64Array>, signal: AbortSignal | undefined): Promise<Matrix<Float64Array>> {
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

/** Takes the projections on the first `count` rows of `basis` from a vector. */
function removeProjections(vector: Float64Array, basis: Float64Array, count: number): void {
  const length = vector.length;
  for (let row = 0; row < count; row++) {
    const start = row * length;
    let sum = 0;
    for (let index = 0; index < length; index++) sum += vector[index]! * basis[start + index]!;
    for (let index = 0; index < length; index++) vector[index] = vector[index]! - sum * basis[start + index]!;
  }
}

/** Standard normal numbers (Box & Muller 1958). */
function createNormal(seed: number): () => number {
  const random = createRandom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
