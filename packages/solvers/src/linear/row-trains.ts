export interface RowTrainOptions {
  /** I_1 … I_N, at least two; their product is at least the row's length, which is filled up with zeros. */
  readonly sizes: readonly number[];
  /** The largest r_1 … r_(N−1) that will be asked for; none is above min(∏_(j≤k) I_j, ∏_(j>k) I_j). */
  readonly ranks: readonly number[];
}

/**
 * TT-SVD of one row after another (Oseledets 2011, SIAM J. Sci. Comput. 33(5), algorithm 1; each row by itself as in Xu, Xu & Mandic, arXiv 2307.00526): with Z_1 the row,
 * for k = 1 … N − 1 fold Z to [r_(k−1)·I_k, ∏_(j>k) I_j], take its leading left singular vectors U for G_k, and go on with Uᵀ·Z; what is left is G_N.
 *
 * U are eigenvectors of Z·Zᵀ, a matrix of r_(k−1)·I_k, in float64: singular values below 1e-8 of the largest drown in rounding, far below what float32 rows hold.
 */
export class RowTrainSolver {
  readonly #sizes: readonly number[];
  readonly #folded: number;
  /** Z, what is left of the row. */
  #z: Float64Array;
  #next: Float64Array;
  /** U. */
  readonly #core: Float64Array;
  readonly #gram: Float64Array;
  readonly #vectors: Float64Array;
  readonly #order: number[] = [];

  constructor({ sizes, ranks }: RowTrainOptions) {
    this.#sizes = sizes;
    this.#folded = sizes.reduce((product, size) => product * size, 1);
    const widest = sizes.slice(0, -1).reduce((most, size, index) => Math.max(most, (ranks[index - 1] ?? 1) * size), 1);
    // Ranks within their bounds keep Z from growing.
    this.#z = new Float64Array(this.#folded);
    this.#next = new Float64Array(this.#folded);
    this.#core = new Float64Array(widest * Math.max(1, ...ranks));
    this.#gram = new Float64Array(widest * widest);
    this.#vectors = new Float64Array(widest * widest);
  }

  /**
   * Decomposes a row and returns ‖x − x̂‖². A row of zeros has cores of zeros.
   * @param ranks r_1 … r_(N−1), to be had exactly
   * @param write called with core k, [r_(k−1), I_k, r_k]; the array is used again
   */
  solve(row: Float32Array, ranks: readonly number[], write: (index: number, core: Float64Array, length: number) => void): number {
    const energy = this.#load(row);
    let kept = energy;
    let before = 1;
    let rest = this.#folded;
    for (let index = 0; index < this.#sizes.length - 1; index++) {
      const size = before * this.#sizes[index]!;
      rest /= this.#sizes[index]!;
      this.#decompose(size, rest);
      const rank = ranks[index]!;
      this.#project(size, rest, rank);
      if (energy === 0) this.#core.fill(0);
      write(index, this.#core, size * rank);
      kept = this.#square(rank * rest);
      before = rank;
    }
    write(this.#sizes.length - 1, this.#z, before * rest);
    return Math.max(0, energy - kept);
  }

  /** The smallest ranks, none above `most`, for which what every step leaves out is at most δ = tolerance · ‖x‖ / √(N − 1), so that ‖x − x̂‖ ≤ tolerance · ‖x‖. */
  ranksWithin(row: Float32Array, tolerance: number, most: readonly number[]): number[] {
    const energy = this.#load(row);
    const allowed = (tolerance ** 2 * energy) / (this.#sizes.length - 1);
    const ranks: number[] = [];
    let before = 1;
    let rest = this.#folded;
    for (const [index, largest] of most.entries()) {
      const size = before * this.#sizes[index]!;
      rest /= this.#sizes[index]!;
      this.#decompose(size, rest);
      let rank = Math.min(size, rest);
      for (let tail = 0; rank > 1; rank--) {
        tail += Math.max(0, this.#gram[this.#order[rank - 1]! * (size + 1)]!);
        if (tail > allowed) break;
      }
      rank = Math.min(rank, largest);
      this.#project(size, rest, rank);
      ranks.push(rank);
      before = rank;
    }
    return ranks;
  }

  #load(row: Float32Array): number {
    this.#z.fill(0, 0, this.#folded);
    this.#z.set(row);
    return this.#square(row.length);
  }

  #square(length: number): number {
    let sum = 0;
    for (let index = 0; index < length; index++) sum += this.#z[index]! * this.#z[index]!;
    return sum;
  }

  /** Eigenvalues of Z·Zᵀ, Z [size, rest], on the diagonal of #gram, eigenvectors as columns of #vectors, and the eigenvalues' order, largest first. */
  #decompose(size: number, rest: number): void {
    const z = this.#z;
    const gram = this.#gram;
    for (let row = 0; row < size; row++) {
      for (let column = 0; column <= row; column++) {
        let sum = 0;
        for (let index = 0, a = row * rest, b = column * rest; index < rest; index++) sum += z[a + index]! * z[b + index]!;
        gram[row * size + column] = gram[column * size + row] = sum;
      }
    }
    jacobiEigen(gram, this.#vectors, size);
    this.#order.length = 0;
    for (let index = 0; index < size; index++) this.#order.push(index);
    this.#order.sort((a, b) => gram[b * (size + 1)]! - gram[a * (size + 1)]!);
  }

  /** U [size, rank] goes to the start of #core, Z becomes Uᵀ·Z [rank, rest]. */
  #project(size: number, rest: number, rank: number): void {
    const [z, basis] = [this.#z, this.#vectors];
    const result = this.#next.fill(0, 0, rank * rest);
    for (let direction = 0; direction < rank; direction++) {
      const column = this.#order[direction]!;
      for (let row = 0; row < size; row++) {
        const factor = basis[row * size + column]!;
        this.#core[row * rank + direction] = factor;
        for (let index = 0, from = row * rest, to = direction * rest; index < rest; index++) result[to + index] = result[to + index]! + factor * z[from + index]!;
      }
    }
    [this.#z, this.#next] = [result, z];
  }
}

/**
 * Eigenvalues of a small symmetric matrix [size, size] by cyclic Jacobi rotations (Golub & Van Loan, Matrix Computations, 8.5), in place: they are on the diagonal
 * afterwards, the eigenvectors are the columns of `vectors`.
 */
function jacobiEigen(matrix: Float64Array, vectors: Float64Array, size: number): void {
  vectors.fill(0, 0, size * size);
  let trace = 0;
  for (let index = 0; index < size; index++) trace += Math.abs(matrix[index * (size + 1)]!);
  // The entries' own rounding: where the matrix has no rank left, nothing is more exact.
  const rounding = 2 ** -56 * trace;
  for (let index = 0; index < size; index++) vectors[index * (size + 1)] = 1;
  for (let sweep = 0; sweep < 50; sweep++) {
    let turned = false;
    for (let p = 0; p < size - 1; p++) {
      for (let q = p + 1; q < size; q++) {
        const off = matrix[p * size + q]!;
        const [a, b] = [matrix[p * (size + 1)]!, matrix[q * (size + 1)]!];
        if (Math.abs(off) <= rounding || off * off <= 2 ** -104 * Math.abs(a * b)) continue;
        turned = true;
        const zeta = (b - a) / (2 * off);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + tangent * tangent);
        const sine = cosine * tangent;
        for (let k = 0; k < size; k++) {
          const [x, y] = [matrix[p * size + k]!, matrix[q * size + k]!];
          matrix[p * size + k] = cosine * x - sine * y;
          matrix[q * size + k] = sine * x + cosine * y;
        }
        for (let k = 0; k < size; k++) {
          const [x, y] = [matrix[k * size + p]!, matrix[k * size + q]!];
          matrix[k * size + p] = cosine * x - sine * y;
          matrix[k * size + q] = sine * x + cosine * y;
          const [u, v] = [vectors[k * size + p]!, vectors[k * size + q]!];
          vectors[k * size + p] = cosine * u - sine * v;
          vectors[k * size + q] = sine * u + cosine * v;
        }
      }
    }
    if (!turned) return;
  }
}
