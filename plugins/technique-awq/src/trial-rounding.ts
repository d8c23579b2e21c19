import { largestCode, roundingShift, symmetricZero } from '@pare/weights';

/** The grid of a search. Its scales keep all digits: rounding them to their storage type would toss coins between neighbouring trials. */
export interface TrialGrid {
  readonly bits: number;
  readonly symmetric: boolean;
  /** Inputs that share a grid; divides the row. */
  readonly groupSize: number;
}

/**
 * Q(W·diag(s))·diag(s)⁻¹ − W, [out, in], in doubles: Q rounds to nearest on the grid of each group's range with zero in it (`computeGrid` of `@pare/weights`). One group's values at a time,
 * since this runs for every exponent.
 */
export function roundingError(weight: Float32Array, columns: number, scales: Float64Array, { bits, symmetric, groupSize }: TrialGrid): Float32Array {
  const result = new Float32Array(weight.length);
  const values = new Float64Array(groupSize);
  const largest = largestCode(bits);
  const middle = symmetricZero(bits);
  for (let row = 0; row < weight.length; row += columns) {
    for (let start = 0; start < columns; start += groupSize) {
      let low = 0;
      let high = 0;
      for (let index = 0; index < groupSize; index++) {
        const value = weight[row + start + index]! * scales[start + index]!;
        values[index] = value;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      const exact = symmetric ? (2 * Math.max(-low, high)) / largest : (high - low) / largest;
      const scale = exact === 0 ? 1 : exact;
      const zero = symmetric ? middle : Math.min(largest, -low / scale + roundingShift - roundingShift);
      const [first, last] = [-zero, largest - zero];
      for (let index = 0; index < groupSize; index++) {
        const value = values[index]!;
        let code = value / scale + roundingShift - roundingShift;
        if (code < first) code = first;
        if (code > last) code = last;
        result[row + start + index] = (code * scale - value) / scales[start + index]!;
      }
    }
  }
  return result;
}
