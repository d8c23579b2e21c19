/** What a reader has to know of a matrix to find its codes and grids. */
export interface MatrixScheme {
  readonly bits: number;
  /** −1 for one group a row. */
  readonly groupSize: number;
  /** Inputs of a row. */
  readonly columns: number;
}

/** True when a reader that takes a matrix for one of the common scheme finds what is there: a row of one group fits every size that is no smaller than the row. */
export function fitsScheme({ bits, groupSize, columns }: MatrixScheme, common: MatrixScheme): boolean {
  const size = groupSize >= columns ? -1 : groupSize;
  return bits === common.bits && (size === common.groupSize || (size === -1 && common.groupSize >= columns));
}

/** The scheme that most matrices fit; of several, the first. Undefined without matrices. */
export function commonScheme(matrices: readonly MatrixScheme[]): MatrixScheme | undefined {
  const candidates = new Map(matrices.map(({ bits, groupSize, columns }) => [`${String(bits)} ${String(groupSize >= columns ? -1 : groupSize)}`, { bits, groupSize: groupSize >= columns ? -1 : groupSize, columns }]));
  let best: MatrixScheme | undefined;
  let most = 0;
  for (const candidate of candidates.values()) {
    const count = matrices.filter((matrix) => fitsScheme(matrix, candidate)).length;
    if (count > most) [best, most] = [candidate, count];
  }
  return best;
}
