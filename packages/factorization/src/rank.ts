import { dtypeBits, type DType, type ModuleInfo } from '@pare/core';
import type { RankOptions } from './options.js';

type Shaped = Pick<ModuleInfo, 'shape' | 'dtype'>;

/** Storage type of the factors of a matrix: its own, if weights are stored in that. */
export function factorType(dtype: DType): 'float32' | 'float16' | 'bfloat16' {
  return dtype === 'float16' || dtype === 'bfloat16' ? dtype : 'float32';
}

/** Bits of two factors of a rank. */
export function factorBits({ shape: [rows, columns], dtype }: Shaped, rank: number): number {
  return rank * (rows + columns) * dtypeBits(factorType(dtype));
}

/** Bits of the matrix itself. */
export function matrixBits({ shape: [rows, columns], dtype }: Shaped): number {
  return rows * columns * dtypeBits(dtype);
}

/** The largest rank whose factors are smaller than the matrix; 0 when there is none. */
export function largestSavingRank(info: Shaped): number {
  return Math.max(0, Math.ceil(matrixBits(info) / factorBits(info, 1)) - 1);
}

function rounded(rank: number, multipleOf: number): number {
  return Math.max(multipleOf, rank - (rank % multipleOf));
}

/** The rank that options give a matrix, whether it saves anything or not; undefined where it depends on the weights. */
export function rankOf({ shape: [rows, columns] }: Shaped, { by, ratio, rank, multipleOf }: RankOptions): number | undefined {
  if (by === 'energy') return undefined;
  return rounded(by === 'rank' ? rank : Math.max(1, Math.floor((ratio * rows * columns) / (rows + columns))), multipleOf);
}

/** The smallest rank whose values hold the share of the whole square sum, rounded to the multiple; undefined when these values do not reach it. */
export function energyRank(values: Float64Array, whole: number, { energy, multipleOf }: RankOptions): number | undefined {
  let sum = 0;
  for (const [index, value] of values.entries()) {
    sum += value * value;
    // Up here: rounding down would miss the share.
    if (sum >= energy * whole) return Math.ceil((index + 1) / multipleOf) * multipleOf;
  }
  return undefined;
}
