import { createRandom } from '@pare/core';
import { gramSvd } from './gram-svd.js';
import { assertMatrix, binaryScale, energy, transposed, type Matrix, type SolverOptions } from './matrix.js';
import { multiplyTransposed } from './multiply.js';
import { orthonormalRows } from './orthonormal-rows.js';
import { hostProducts, type MatrixProducts } from './products.js';
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
  /** Products with this matrix on a device; on the calling thread without. In float32 they find the range, and values, vectors and errors are computed in float64 all the same. */
  readonly products?: MatrixProducts | undefined;
}

export interface TruncatedSvd extends Svd {
  /** ‖A − U·Σ·Vᵀ‖_F. */
  readonly error: number;
  /** ‖A − Q·Qᵀ·A‖_F for the basis Q that was found: no singular value is further below its true one (Weyl). 0 when the decomposition is exact. */
  readonly bound: number;
}

/** Up to this many rows or columns the whole decomposition costs little. */
const small = 96;

/** The range finder pays where its directions are at most this share of all. */
const fewDirections = 1 / 5;

/**
 * The leading singular values and vectors of a large matrix: randomised range finder with power iterations (Halko, Martinsson & Tropp 2011, arXiv 0909.4061, algorithms 4.4
 * and 5.1). Where the rank is more than a fifth of what there is, the range finder would gain nothing: `gramSvd`, or for small matrices `svd`, cut off.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED, RangeError for a rank that does not exist
 */
export async function truncatedSvd(matrix: Matrix, options: TruncatedSvdOptions): Promise<TruncatedSvd> {
  const { rank, oversample = 10, signal } = options;
  const { rows, columns } = matrix;
  const size = Math.min(rows, columns);
  if (!Number.isInteger(rank) || rank < 1 || rank > size) throw new RangeError(`rank ${String(rank)} of a matrix [${String(rows)}, ${String(columns)}]`);
  assertMatrix(matrix);
  const products = options.products ?? hostProducts(matrix, { signal });
  if (rank + oversample <= size * fewDirections) return randomised(matrix, { ...options, oversample, products });
  if (size > small && keepsSquares(matrix)) {
    const leading = withSigns(await gramSvd(matrix, rank, products, { signal }));
    return { ...leading, error: leftOver(matrix, leading.values), bound: 0 };
  }
  const whole = await svd(matrix, { signal });
  return { ...firstOf(whole, rank), error: Math.sqrt(energy(whole.values.subarray(rank))), bound: 0 };
}

async function randomised(matrix: Matrix, options: TruncatedSvdOptions & { readonly oversample: number; readonly products: MatrixProducts }): Promise<TruncatedSvd> {
  const { rank, oversample, powerIterations = 2, seed = 0, products, signal } = options;
  const { columns } = matrix;
  const directions = rank + oversample;
  const normal = createNormal(seed);
  // Bases lie as rows, [directions, rows] and [directions, columns].
  let basis: Matrix<Float64Array> = { data: Float64Array.from({ length: directions * columns }, normal), rows: directions, columns };
  let range = await orthonormalRows(await products.timesTransposed(basis), { signal });
  for (let iteration = 0; iteration < powerIterations; iteration++) {
    basis = await orthonormalRows(await products.times(range), { signal });
    range = await orthonormalRows(await products.timesTransposed(basis), { signal });
  }
  const exact = products.precision === 'float64' ? products : hostProducts(matrix, { signal });
  const projected = await exact.times(range);
  const inner = keepsSquares(projected) ? await gramSvd(projected, rank, hostProducts(projected, { signal }), { signal }) : firstOf(await svd(projected, { signal }), rank);
  const left = await multiplyTransposed(transposed(range), transposed(inner.left), { signal });
  return { ...withSigns({ left, values: inner.values, right: inner.right }), error: leftOver(matrix, inner.values), bound: leftOver(matrix, projected.data) };
}

/** Whether squares of the entries stay well inside the range of float64. */
function keepsSquares({ data }: Matrix): boolean {
  return Math.abs(Math.log2(binaryScale(data))) < 400;
}

/** What an orthogonal projection leaves out, from what it keeps: ‖A − QQᵀA‖² = ‖A‖² − ‖QᵀA‖². */
function leftOver(matrix: Matrix, kept: Float64Array): number {
  return Math.sqrt(Math.max(0, energy(matrix.data) - energy(kept)));
}

function firstOf({ left, values, right }: Svd, rank: number): Svd {
  const data = Float64Array.from({ length: left.rows * rank }, (_, index) => left.data[Math.floor(index / rank) * left.columns + (index % rank)]!);
  return { left: { data, rows: left.rows, columns: rank }, values: values.slice(0, rank), right: { ...right, data: right.data.slice(0, rank * right.columns), rows: rank } };
}

/** Standard normal numbers (Box & Muller 1958). */
function createNormal(seed: number): () => number {
  const random = createRandom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
