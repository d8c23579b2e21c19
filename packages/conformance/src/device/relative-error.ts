/** A difference that tests bound: max |a − b| over max |b|, at least 1e-12; NaN where both are is no difference, where one is it is infinite. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let largest = 1e-12;
  if (actual.length !== expected.length) return Infinity;
  for (let index = 0; index < expected.length; index++) {
    const [a, b] = [actual[index]!, expected[index]!];
    if (Number.isFinite(b)) largest = Math.max(largest, Math.abs(b));
    if (Object.is(a, b) || a === b) continue;
    const apart = Math.abs(a - b);
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
  }
  return difference / largest;
}
