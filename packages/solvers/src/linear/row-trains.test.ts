import { createRandom } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { RowTrainSolver } from './row-trains.js';

/** Decomposes a row; returns the loss, the cores, and the row that they make. */
function decompose(row: Float32Array, sizes: readonly number[], ranks: readonly number[]): { loss: number; cores: Float64Array[]; decoded: Float64Array } {
  const cores: Float64Array[] = [];
  const loss = new RowTrainSolver({ sizes, ranks }).solve(row, ranks, (index, core, length) => {
    cores[index] = core.slice(0, length);
  });
  let prefix = Float64Array.of(1);
  for (const [index, size] of sizes.entries()) {
    const [left, right] = [ranks[index - 1] ?? 1, ranks[index] ?? 1];
    const next = new Float64Array((prefix.length / left) * size * right);
    for (let p = 0; p < prefix.length / left; p++)
      for (let column = 0; column < size * right; column++)
        for (let rank = 0; rank < left; rank++) next[p * size * right + column] = next[p * size * right + column]! + prefix[p * left + rank]! * cores[index]![rank * size * right + column]!;
    prefix = next;
  }
  return { loss, cores, decoded: prefix.subarray(0, row.length) };
}

const random = createRandom(11);
const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const randomRow = (length: number): Float32Array => Float32Array.from({ length }, normal);
const bounds = (sizes: readonly number[], most: number): number[] => {
  const product = (part: readonly number[]): number => part.reduce((all, size) => all * size, 1);
  return sizes.slice(1).map((_, index) => Math.min(most, product(sizes.slice(0, index + 1)), product(sizes.slice(index + 1))));
};
const distance = (row: Float32Array, other: Float64Array): number => Math.sqrt(row.reduce((sum, value, index) => sum + (value - other[index]!) ** 2, 0));
const norm = (row: Float32Array): number => distance(row, new Float64Array(row.length));
const binary = Array.from({ length: 10 }, () => 2);

describe('the tensor train of a row', () => {
  it.each([[binary, 768], [[2, 3, 4, 5], 120], [[7, 11], 70], [[4, 4, 4], 64]] as const)('is exact at full rank: %j of %i numbers', (sizes, length) => {
    const row = randomRow(length);
    const { decoded, loss } = decompose(row, sizes, bounds(sizes, Infinity));
    expect(distance(row, decoded) / norm(row)).toBeLessThan(1e-7);
    expect(loss / norm(row) ** 2).toBeLessThan(1e-12);
  });

  it('errs by what it says, and less with every rank', () => {
    const row = randomRow(768);
    let before = Infinity;
    for (const most of [1, 2, 3, 4, 6, 8, 12, 16, 20]) {
      const { decoded, loss } = decompose(row, binary, bounds(binary, most));
      expect(Math.sqrt(loss) / distance(row, decoded)).toBeCloseTo(1, 6);
      expect(loss).toBeLessThan(before);
      before = loss;
    }
  });

  it('errs on Gaussian rows as others have measured', () => {
    // Mean of ‖x − x̂‖ / ‖x‖ for normal rows of 768 numbers, 2^10, at these ranks.
    const measured: readonly (readonly [number, number])[] = [[1, 0.989], [2, 0.961], [3, 0.921], [4, 0.876], [5, 0.827], [6, 0.773], [8, 0.659], [12, 0.432], [16, 0.237]];
    const rows = Array.from({ length: 60 }, () => randomRow(768));
    for (const [most, expected] of measured) {
      const mean = rows.reduce((sum, row) => sum + Math.sqrt(decompose(row, binary, bounds(binary, most)).loss) / norm(row), 0) / rows.length;
      expect(Math.abs(mean / expected - 1), `rank ${String(most)}: ${String(mean)}`).toBeLessThan(0.01);
    }
  });

  it('keeps an outer product with rank 1', () => {
    const [a, b, c] = [randomRow(3), randomRow(4), randomRow(5)];
    const row = Float32Array.from({ length: 60 }, (_, index) => a[Math.floor(index / 20)]! * b[Math.floor(index / 5) % 4]! * c[index % 5]!);
    expect(distance(row, decompose(row, [3, 4, 5], [1, 1]).decoded) / norm(row)).toBeLessThan(1e-7);
  });

  it('has orthonormal columns in every core but the last', () => {
    const sizes = [2, 3, 4, 5];
    const ranks = bounds(sizes, 4);
    const { cores } = decompose(randomRow(117), sizes, ranks);
    for (const [index, core] of cores.slice(0, -1).entries()) {
      const right = ranks[index]!;
      for (let x = 0; x < right; x++) {
        for (let y = 0; y <= x; y++) {
          let sum = 0;
          for (let row = 0; row < core.length / right; row++) sum += core[row * right + x]! * core[row * right + y]!;
          expect(sum).toBeCloseTo(x === y ? 1 : 0, 10);
        }
      }
    }
  });

  it('stays within the square sum of what its steps leave out, at most √(N − 1) times the best', () => {
    const row = randomRow(64);
    const sizes = [4, 4, 4];
    const { loss } = decompose(row, sizes, [2, 2]);
    // Each unfolding by itself has a smallest error, and no train does better than the worst of them.
    const best = Math.max(...[decompose(row, [4, 16], [2]).loss, decompose(row, [16, 4], [2]).loss]);
    expect(loss).toBeGreaterThanOrEqual(best * (1 - 1e-9));
    expect(loss).toBeLessThanOrEqual(decompose(row, [4, 16], [2]).loss + decompose(row, [16, 4], [2]).loss);
  });

  it('makes zeros of zeros', () => {
    const { cores, loss } = decompose(new Float32Array(24), [2, 3, 4], [2, 4]);
    expect(loss).toBe(0);
    for (const core of cores) expect(core.every((value) => value === 0)).toBe(true);
  });

  it.each([0.5, 0.1, 0.01, 1e-6])('needs ranks that hold a tolerance of %f, and no larger ones', (tolerance) => {
    const rough = randomRow(90);
    // Falling towards the end, so that ranks below the largest do.
    const row = rough.map((value, index) => value * 0.9 ** index);
    const sizes = [3, 5, 6];
    const solver = new RowTrainSolver({ sizes, ranks: bounds(sizes, Infinity) });
    const ranks = solver.ranksWithin(row, tolerance, bounds(sizes, Infinity));
    expect(Math.sqrt(decompose(row, sizes, ranks).loss) / norm(row)).toBeLessThanOrEqual(tolerance);
    const smaller = ranks.map((rank) => Math.max(1, rank - 1));
    if (ranks.some((rank) => rank > 1)) expect(Math.sqrt(decompose(row, sizes, smaller).loss) / norm(row)).toBeGreaterThan(tolerance / Math.sqrt(2));
    expect(solver.ranksWithin(row, tolerance, [1, 1])).toEqual([1, 1]);
  });
});
