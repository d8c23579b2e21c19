/** At most `kept` of every `group` neighbouring inputs are not zero (Mishra et al., arXiv 2104.08378, §3). */
export interface Pattern {
  readonly kept: number;
  readonly group: number;
}

/** Reads `2:4`; undefined for anything that is no pattern. */
export function parsePattern(text: string): Pattern | undefined {
  const match = /^([1-9]\d{0,3}):([1-9]\d{0,3})$/.exec(text);
  const [kept, group] = [Number(match?.[1]), Number(match?.[2])];
  return kept < group ? { kept, group } : undefined;
}

/** True when every row of a matrix [rows, columns] keeps the pattern. Rows that groups do not fill to the end have no such pattern: kernels for it need whole groups. */
export function holdsPattern(weights: Float32Array, columns: number, { kept, group }: Pattern): boolean {
  if (columns % group !== 0) return false;
  for (let start = 0; start < weights.length; start += group) {
    let nonzero = 0;
    for (let index = start; index < start + group; index++) if (weights[index] !== 0) nonzero++;
    if (nonzero > kept) return false;
  }
  return true;
}
