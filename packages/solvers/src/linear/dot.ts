/** Σ a[x + i]·b[y + i] over `length` entries. Four sums at once: a single one would wait for itself at every step. */
export function dot(a: Float64Array, x: number, b: Float64Array, y: number, length: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let index = 0;
  for (; index + 3 < length; index += 4) {
    s0 += a[x + index]! * b[y + index]!;
    s1 += a[x + index + 1]! * b[y + index + 1]!;
    s2 += a[x + index + 2]! * b[y + index + 2]!;
    s3 += a[x + index + 3]! * b[y + index + 3]!;
  }
  for (; index < length; index++) s0 += a[x + index]! * b[y + index]!;
  return s0 + s1 + (s2 + s3);
}
