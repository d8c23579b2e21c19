/** A point of a trade-off; `x` is better when smaller. */
export interface TradeOff {
  readonly x: number;
  readonly y: number;
}

/**
 * Which points no other point beats: none is at least as good in both values and better in one.
 * @param direction whether smaller or larger `y` is better
 * @returns one flag a point, in their order; equal points are all on the front
 */
export function paretoFront(points: readonly TradeOff[], direction: 'lower' | 'higher'): boolean[] {
  const sign = direction === 'lower' ? 1 : -1;
  return points.map((point) => !points.some((other) => other.x <= point.x && sign * other.y <= sign * point.y && (other.x < point.x || sign * other.y < sign * point.y)));
}
