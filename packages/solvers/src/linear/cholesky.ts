/**
 * A = L·Lᵀ in place, lower triangle; false when a pivot is not positive. The upper triangle is neither read nor written. Sums run in the order of the WebAssembly
 * kernels, whose results are the same to the bit.
 */
export function cholesky(a: Float64Array, size: number): boolean {
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = a[row * size + column]!;
      for (let k = 0; k < column; k++) sum -= a[row * size + k]! * a[column * size + k]!;
      if (column < row) a[row * size + column] = sum / a[column * size + column]!;
      else if (sum > 0 && sum < Infinity) a[row * size + row] = Math.sqrt(sum);
      else return false;
    }
  }
  return true;
}

/** Solves X·L = B for X in place: B [rows, size], L [size, size] lower triangular. */
export function solveLowerFromRight(b: Float64Array, l: Float64Array, size: number): void {
  for (let start = 0; start < b.length; start += size) {
    for (let column = size - 1; column >= 0; column--) {
      const x = b[start + column]! / l[column * size + column]!;
      b[start + column] = x;
      const row = column * size;
      for (let k = 0; k < column; k++) b[start + k] = b[start + k]! - x * l[row + k]!;
    }
  }
}
