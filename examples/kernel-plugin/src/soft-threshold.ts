/** The method in plain TypeScript, for backends without a kernel language, and what the kernel is compared with. `weight` is [rows, columns]. */
export function softThreshold(weight: Float32Array, rows: number, columns: number, strength: number): Float32Array {
  const result = new Float32Array(weight.length);
  for (let row = 0; row < rows; row++) {
    const values = weight.subarray(row * columns, (row + 1) * columns);
    const threshold = (strength * values.reduce((sum, value) => sum + Math.abs(value), 0)) / columns;
    values.forEach((value, column) => (result[row * columns + column] = Math.sign(value) * Math.max(Math.abs(value) - threshold, 0)));
  }
  return result;
}
