import type { QuantizedWeight } from '@pare/core';
import { isFloat8, largestFloat8, toFloat8 } from './float8.js';
import { computeGrid, encode, symmetricScale } from './grid.js';
import { groupsPerRow, resolveScheme, type QuantizerOptions, type ScaleType } from './scheme.js';

/**
 * Rounds a matrix [out, in] to the nearest points of its grids (round-to-nearest, RTN; Jacob et al. 2018, arXiv 1712.05877).
 * A last group shorter than the group size has a grid of its own. For 8-bit floats the scale is max|w| / 448.
 * @throws PARE_WEIGHT_NOT_FINITE, PARE_SCALE_OVERFLOW
 */
export function quantizeMatrix(weight: Float32Array, shape: readonly [number, number], options: QuantizerOptions, scaleType: ScaleType): QuantizedWeight {
  const [rows, columns] = shape;
  const scheme = resolveScheme(options, columns);
  const groups = groupsPerRow(scheme, columns);
  const grids = scheme.granularity === 'tensor' ? 1 : rows * groups;
  const codes = new Uint8Array(rows * columns);
  const scales = new Float32Array(grids);
  const zeros = scheme.symmetric ? undefined : new Uint8Array(grids);
  // A whole matrix under one grid is one long run; otherwise each run lies within a row.
  const runs = scheme.granularity === 'tensor' ? 1 : rows;
  const runLength = scheme.granularity === 'tensor' ? rows * columns : columns;
  const groupSize = scheme.granularity === 'tensor' ? runLength : scheme.groupSize;
  let index = 0;
  for (let run = 0; run < runs; run++) {
    for (let start = 0; start < runLength; start += groupSize) {
      const offset = run * runLength + start;
      const count = Math.min(groupSize, runLength - start);
      const end = offset + count;
      if (isFloat8(scheme)) {
        const scale = symmetricScale(weight, largestFloat8, scaleType, offset, count);
        scales[index++] = scale;
        for (let at = offset; at < end; at++) codes[at] = toFloat8(weight[at]! / scale);
        continue;
      }
      const grid = computeGrid(weight, options, scaleType, offset, count);
      scales[index] = grid.scale;
      if (zeros !== undefined) zeros[index] = grid.zero;
      index += 1;
      for (let at = offset; at < end; at++) codes[at] = encode(weight[at]!, grid, scheme.bits);
    }
  }
  return { form: 'quantized', shape: [rows, columns], scheme, codes, scales, scaleType, zeros, groupIndex: undefined };
}
