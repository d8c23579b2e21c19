import { pareError, type ModuleHandle, type ModuleReport } from '@pare/core';
import { truncatedSvd, type Matrix, type TruncatedSvd } from '@pare/solvers';
import { denseWeight, factorizedWeight } from '@pare/weights';
import type { BackendProducts } from './backend-products.js';
import type { RankOptions } from './options.js';
import { keptDense } from './plan.js';
import { energyRank, factorType, largestSavingRank, rankOf } from './rank.js';

/** Two factors of a matrix in float64: left [out, rank] and right [rank, in]. */
export interface Factors {
  readonly left: Matrix<Float64Array>;
  readonly right: Matrix<Float64Array>;
  /** ‖A − left·right‖_F², the sum of the squared singular values that were left out. */
  readonly loss: number;
}

/** What factorizing takes beside the matrix. */
export interface FactorizationContext {
  readonly products: Pick<BackendProducts, 'with'>;
  readonly signal: AbortSignal;
}

/**
 * The leading singular values and vectors of `matrix` that a module's options keep, split evenly: left = U·√Σ, right = √Σ·Vᵀ. Undefined when no rank that saves
 * anything keeps enough.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_ABORTED
 */
export async function factorsOf(matrix: Matrix, { info, options }: Pick<ModuleHandle<RankOptions>, 'info' | 'options'>, { products, signal }: FactorizationContext): Promise<Factors | undefined> {
  const largest = Math.min(largestSavingRank(info), ...info.shape);
  const asked = rankOf(info, options);
  if (largest < 1 || (asked ?? 0) > largest) return undefined;
  const found = await products.with(matrix, signal, (device) => truncatedSvd(matrix, { rank: asked ?? largest, products: device, signal }));
  if (asked !== undefined) return split(found, asked);
  const kept = found.values.reduce((sum, value) => sum + value * value, 0);
  const rank = energyRank(found.values, kept + found.error ** 2, options);
  return rank === undefined || rank > largest ? undefined : split(found, rank);
}

function split({ left, values, right, error }: TruncatedSvd, rank: number): Factors {
  const roots = values.subarray(0, rank).map(Math.sqrt);
  const dropped = values.subarray(rank).reduce((sum, value) => sum + value * value, 0);
  return {
    left: { data: Float64Array.from({ length: left.rows * rank }, (_, index) => left.data[Math.floor(index / rank) * left.columns + (index % rank)]! * roots[index % rank]!), rows: left.rows, columns: rank },
    right: { data: Float64Array.from({ length: rank * right.columns }, (_, index) => right.data[index]! * roots[Math.floor(index / right.columns)]!), rows: rank, columns: right.columns },
    loss: error ** 2 + dropped,
  };
}

/** Scales every column of the left factor and the row of the right one that it meets to equal norms, in place. The product stays; both keep to a range that half precision and codes hold well. */
export function balanceFactors({ left, right }: Factors): void {
  const rank = left.columns;
  for (let k = 0; k < rank; k++) {
    const row = right.data.subarray(k * right.columns, (k + 1) * right.columns);
    let [a, b] = [0, 0];
    for (let index = k; index < left.data.length; index += rank) a += left.data[index]! ** 2;
    for (const value of row) b += value * value;
    if (a === 0 || b === 0) continue;
    const scale = (b / a) ** 0.25;
    for (let index = k; index < left.data.length; index += rank) left.data[index] = left.data[index]! * scale;
    for (let index = 0; index < row.length; index++) row[index] = row[index]! / scale;
  }
}

/**
 * Hands in two factors in the module's own type, or the module as it is, with the reason, when there are none.
 * @throws PARE_FLOAT16_OVERFLOW
 */
export async function replaceByFactors(module: ModuleHandle<RankOptions>, factors: Factors | undefined, report: ModuleReport): Promise<void> {
  const { info, options } = module;
  if (factors === undefined) return module.replace(await module.form(), { fallback: keptDense(info, rankOf(info, options)) });
  const [rows, columns] = info.shape;
  const rank = factors.left.columns;
  const type = factorType(info.dtype);
  const stored = (name: string, { data }: Matrix<Float64Array>): Float32Array => {
    // Half of the last step beyond the largest half-precision number rounds to infinity.
    const overflow = type === 'float16' ? data.findIndex((value) => Math.abs(value) >= 65520) : -1;
    if (overflow !== -1) throw pareError('PARE_FLOAT16_OVERFLOW', { tensor: `${info.name}.${name}`, index: overflow, value: data[overflow]! });
    return Float32Array.from(data);
  };
  const left = denseWeight(stored('left', factors.left), [rows, rank], type);
  const right = denseWeight(stored('right', factors.right), [rank, columns], type);
  await module.replace(factorizedWeight(left, right), { ...report, details: { rank, ...report.details } });
}
