/**
 * left·right [rows, columns] row-major for left [rows, r] and right [r, columns]: sums in float64, rounded once.
 */
export function multiplyOut(left: Float32Array, right: Float32Array, [rows, columns]: readonly [number, number]): Float32Array {
  const rank = rows === 0 ? 0 : left.length / rows;
  const result = new Float32Array(rows * columns);
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    let k = 0;
    // Four rows of the right factor at a time: every sum is read and written a quarter as often.
    for (; k + 3 < rank; k += 4) {
      const at = row * rank + k;
      const [a, b, c, d] = [left[at]!, left[at + 1]!, left[at + 2]!, left[at + 3]!];
      const [p, q, r, s] = [k * columns, (k + 1) * columns, (k + 2) * columns, (k + 3) * columns];
      for (let column = 0; column < columns; column++) {
        sums[column] = sums[column]! + (a * right[p + column]! + b * right[q + column]! + c * right[r + column]! + d * right[s + column]!);
      }
    }
    for (; k < rank; k++) {
      const [a, p] = [left[row * rank + k]!, k * columns];
      for (let column = 0; column < columns; column++) sums[column] = sums[column]! + a * right[p + column]!;
    }
    result.set(sums, row * columns);
  }
  return result;
}
