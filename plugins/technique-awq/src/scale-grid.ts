/** Inputs whose mean magnitude is below this are taken for this: dead ones must not get scales without bound. */
const smallestMagnitude = 1e-4;

/** The exponents that are tried: 0, 1/n … (n − 1)/n (arXiv 2306.00978, §3.2; n = 20). The first changes nothing. */
export function gridExponents(points: number): number[] {
  return Array.from({ length: points }, (_, index) => index / points);
}

/** s = x̄^α, divided by √(max s · min s) so that the largest and the smallest are reciprocals. x̄ is the mean |x| of each input over the calibration tokens. */
export function scalesOf(magnitudes: ArrayLike<number>, exponent: number): Float64Array {
  const scales = Float64Array.from(magnitudes, (magnitude) => Math.max(magnitude, smallestMagnitude) ** exponent);
  let [least, most] = [Infinity, 0];
  for (const scale of scales) {
    if (scale < least) least = scale;
    if (scale > most) most = scale;
  }
  const middle = Math.sqrt(most * least);
  return scales.map((scale) => scale / middle);
}

export interface ChosenScales {
  readonly exponent: number;
  readonly scales: Float64Array;
  /** Loss of each exponent, in order. */
  readonly losses: readonly number[];
}

/** Tries every exponent and takes the one of the least loss, the first of equals. Undefined when no loss is a number. */
export async function searchScales(magnitudes: ArrayLike<number>, points: number, loss: (scales: Float64Array) => Promise<number>): Promise<ChosenScales | undefined> {
  const losses: number[] = [];
  let best: { readonly exponent: number; readonly scales: Float64Array } | undefined;
  let least = Infinity;
  for (const exponent of gridExponents(points)) {
    const scales = scalesOf(magnitudes, exponent);
    const found = await loss(scales);
    losses.push(found);
    if (!(found < least)) continue;
    least = found;
    best = { exponent, scales };
  }
  return best === undefined ? undefined : { ...best, losses };
}
