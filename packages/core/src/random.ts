/** A seeded generator of uniform numbers in [0, 1). */
export type Random = () => number;

/** PCG-style 32-bit generator (permuted congruential, M. O'Neill 2014, XSH-RR): small state, same stream on every platform. */
export function createRandom(seed: number): Random {
  let state = (BigInt(Math.trunc(seed)) & 0xffffffffffffffffn) + 1442695040888963407n;
  const next = (): number => {
    const old = state & 0xffffffffffffffffn;
    state = (old * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    const shifted = Number((((old >> 18n) ^ old) >> 27n) & 0xffffffffn);
    const rotation = Number(old >> 59n);
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  };
  next();
  return () => next() / 4294967296;
}
