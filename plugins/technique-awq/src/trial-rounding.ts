import { largestCode, roundingShift, symmetricZero } from '@pare/weights';

/** The grid of a search. Its scales are doubles: rounding them to their storage type would toss coins between neighbouring trials. */
export interface TrialGrid {
  readonly bits: number;
  readonly symmetric: boolean;
  /** Inputs that share a grid; divides the row. */
  readonly groupSize: number;
}

/** v = W·diag(s) in doubles, row-major, and the range of each group with zero in it. */
export interface ScaledMatrix {
  readonly columns: number;
  readonly scales: Float64Array;
  readonly values: Float64Array;
  /** min(0, min v) and max(0, max v), [out, groups]. */
  readonly lows: Float64Array;
  readonly highs: Float64Array;
}

/** Scales the columns of a matrix [out, in] and looks at its groups. */
export function scaleMatrix(weight: Float32Array, columns: number, scales: Float64Array, groupSize: number): ScaledMatrix {
  const values = new Float64Array(weight.length);
  const lows = new Float64Array(weight.length / groupSize);
  const highs = new Float64Array(lows.length);
  let group = 0;
  for (let row = 0; row < weight.length; row += columns) {
    for (let start = 0; start < columns; start += groupSize, group++) {
      let low = 0;
      let high = 0;
      for (let column = start; column < start + groupSize; column++) {
        const value = weight[row + column]! * scales[column]!;
        values[row + column] = value;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      lows[group] = low;
      highs[group] = high;
    }
  }
  return { columns, scales, values, lows, highs };
}

/**
 * (Q(clamp(v, ±limit)) − v)·diag(s)⁻¹, [out, in], where Q rounds to nearest on the grid of what the clamp leaves of each group (`computeGrid` of `@pare/weights` in doubles). What is cut off on
 * both sides stands halfway between two codes: counted from the range, it does so to the last bit, and all of it goes the same way.
 *
 * @param shrink limits of the groups as a share of their largest magnitudes; 1 clamps nothing
 */
export function clippedError({ columns, scales, values, lows, highs }: ScaledMatrix, { bits, symmetric, groupSize }: TrialGrid, shrink: number): Float32Array {
  const error = new Float32Array(values.length);
  const largest = largestCode(bits);
  const middle = symmetricZero(bits);
  // Codes from one end of the range to the other; a symmetric grid's range is one side of it.
  const steps = symmetric ? largest / 2 : largest;
  let group = 0;
  for (let row = 0; row < values.length; row += columns) {
    for (let start = 0; start < columns; start += groupSize, group++) {
      const limit = shrink * Math.max(-lows[group]!, highs[group]!);
      const low = Math.max(lows[group]!, -limit);
      const high = Math.min(highs[group]!, limit);
      const range = (symmetric ? Math.max(-low, high) : high - low) || 1;
      const scale = range / steps;
      const zero = symmetric ? middle : Math.min(largest, (-low / range) * steps + roundingShift - roundingShift);
      const [first, last] = [-zero, largest - zero];
      for (let column = start; column < start + groupSize; column++) {
        const value = values[row + column]!;
        const code = Math.min(last, Math.max(first, (Math.min(high, Math.max(low, value)) / range) * steps + roundingShift - roundingShift));
        error[row + column] = (code * scale - value) / scales[column]!;
      }
    }
  }
  return error;
}

/** Q(W·diag(s))·diag(s)⁻¹, [out, in], for rounding to nearest on the grid; with `error`, that minus W. One group's values at a time, since this runs for every exponent. */
function roundScaled(weight: Float32Array, columns: number, scales: Float64Array, { bits, symmetric, groupSize }: TrialGrid, error: boolean): Float32Array {
  const result = new Float32Array(weight.length);
  const values = new Float64Array(groupSize);
  const largest = largestCode(bits);
  const middle = symmetricZero(bits);
  const whole = error ? 1 : 0;
  for (let row = 0; row < weight.length; row += columns) {
    for (let start = 0; start < columns; start += groupSize) {
      let low = 0;
      let high = 0;
      for (let index = 0; index < groupSize; index++) {
        const value = weight[row + start + index]! * scales[start + index]!;
        values[index] = value;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      const exact = symmetric ? (2 * Math.max(-low, high)) / largest : (high - low) / largest;
      const scale = exact === 0 ? 1 : exact;
      const zero = symmetric ? middle : Math.min(largest, -low / scale + roundingShift - roundingShift);
      const [first, last] = [-zero, largest - zero];
      for (let index = 0; index < groupSize; index++) {
        const value = values[index]!;
        const code = Math.min(last, Math.max(first, value / scale + roundingShift - roundingShift));
        result[row + start + index] = (code * scale - whole * value) / scales[start + index]!;
      }
    }
  }
  return result;
}

/** Q(W·diag(s))·diag(s)⁻¹ − W, [out, in]. */
export function roundingError(weight: Float32Array, columns: number, scales: Float64Array, grid: TrialGrid): Float32Array {
  return roundScaled(weight, columns, scales, grid, true);
}

/** Q(W·diag(s))·diag(s)⁻¹, [out, in]: the matrix that a trial runs with. */
export function roundedWeight(weight: Float32Array, columns: number, scales: Float64Array, grid: TrialGrid): Float32Array {
  return roundScaled(weight, columns, scales, grid, false);
}
