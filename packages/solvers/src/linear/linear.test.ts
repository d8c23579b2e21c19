import { createRandom } from '@pare/core';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { identity, randomWeight } from '../testing.js';
import { cholesky, solveLowerFromRight } from './cholesky.js';
import { energy, transposed, type Matrix } from './matrix.js';
import { multiplyTransposed } from './multiply.js';
import { qr } from './qr.js';
import { svd, type Svd } from './svd.js';
import { symmetricEigen } from './symmetric-eigen.js';
import { truncatedSvd } from './truncated-svd.js';

interface GoldenCase {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly data: readonly number[];
  readonly singular: readonly number[];
  readonly r: readonly number[];
  readonly eigen?: readonly number[];
}

const { cases } = JSON.parse(readFileSync(new URL('golden/lapack.json', import.meta.url), 'utf8')) as { cases: readonly GoldenCase[] };

const matrix = (rows: number, columns: number, data: ArrayLike<number>): Matrix<Float64Array> => ({ rows, columns, data: Float64Array.from(data) });
const random = (rows: number, columns: number, seed: number): Matrix<Float64Array> => matrix(rows, columns, randomWeight(rows, columns, seed));

/** A·B entry by entry. */
function product(a: Matrix, b: Matrix): Matrix<Float64Array> {
  const result = matrix(a.rows, b.columns, new Float64Array(a.rows * b.columns));
  for (let i = 0; i < a.rows; i++) for (let k = 0; k < a.columns; k++) for (let j = 0; j < b.columns; j++) result.data[i * b.columns + j]! += a.data[i * a.columns + k]! * b.data[k * b.columns + j]!;
  return result;
}

const scaledRows = ({ data, rows, columns }: Matrix, values: Float64Array): Matrix => matrix(rows, columns, Float64Array.from(data, (value, index) => value * values[Math.floor(index / columns)]!));
const rebuilt = ({ left, values, right }: Svd): Matrix => product(left, scaledRows(right, values));

/** Largest difference of two runs of numbers. */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let index = 0; index < a.length; index++) most = Math.max(most, Math.abs(a[index]! - b[index]!));
  return most;
}

function expectSvd(a: Matrix, result: Svd, tolerance = 1e-13): void {
  const { left, values, right } = result;
  const k = Math.min(a.rows, a.columns);
  const largest = values[0] ?? 0;
  expect([left.rows, left.columns, values.length, right.rows, right.columns]).toEqual([a.rows, k, k, k, a.columns]);
  expect(distance(rebuilt(result).data, a.data)).toBeLessThanOrEqual(tolerance * largest);
  expect(distance(product(transposed(left), left).data, identity(k))).toBeLessThan(tolerance);
  expect(distance(product(right, transposed(right)).data, identity(k))).toBeLessThan(tolerance);
  expect([...values]).toEqual([...values].sort((x, y) => y - x));
  expect(values.every((value) => value >= 0)).toBe(true);
  for (let column = 0; column < k; column++) {
    const vector = Array.from({ length: a.rows }, (_, row) => left.data[row * k + column]!);
    expect(vector.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0)).toBeGreaterThan(0);
  }
}

describe.each(cases)('$name, against LAPACK', ({ rows, columns, data, singular, r }) => {
  const a = matrix(rows, columns, data);

  it('singular values', async () => {
    const result = await svd(a);
    expectSvd(a, result);
    expect(distance(result.values, singular)).toBeLessThan(1e-14 * singular[0]! * rows);
  });

  it('R', async () => {
    const factors = await qr(a);
    expect(distance(factors.r.data, r)).toBeLessThan(1e-13 * singular[0]!);
    expect(distance(product(factors.q, factors.r).data, a.data)).toBeLessThan(1e-14 * singular[0]! * rows);
  });
});

it.each(cases.flatMap((golden) => (golden.eigen === undefined ? [] : [{ ...golden, eigen: golden.eigen }])))(
  '$name: eigenvalues of the symmetric part, against LAPACK',
  async ({ rows, data, singular, eigen }) => {
    const symmetric = matrix(rows, rows, data.map((value, index) => (value + data[(index % rows) * rows + Math.floor(index / rows)]!) / 2));
    const { values, vectors } = await symmetricEigen(symmetric);
    expect(distance(values, eigen)).toBeLessThan(1e-14 * singular[0]! * rows);
    expect(distance(product(transposed(vectors), scaledRows(vectors, values)).data, symmetric.data)).toBeLessThan(1e-14 * singular[0]! * rows);
  },
);

describe('svd', () => {
  it.each([
    [0, 0],
    [0, 3],
    [4, 0],
    [1, 1],
    [1, 7],
    [7, 1],
    [3, 3],
    [33, 17],
    [17, 33],
    [64, 64],
  ])('gives orthonormal vectors that make up a matrix [%i, %i]', async (rows, columns) => {
    const a = random(rows, columns, rows * 100 + columns);
    expectSvd(a, await svd(a));
  });

  it('has the closed form of 2 × 2 matrices', async () => {
    for (const [a, b, c, d] of [[3, 0, 4, 5], [1, 2, 3, 4], [2, -1, 1, 2], [1e-8, 1, 1, 0]] as const) {
      const { values } = await svd(matrix(2, 2, [a, b, c, d]));
      const determinant = Math.abs(a * d - b * c);
      const largest = (Math.hypot(a + d, b - c) + Math.hypot(a - d, b + c)) / 2;
      expect(Math.abs(values[0]! - largest)).toBeLessThan(1e-14 * largest);
      expect(Math.abs(values[1]! - determinant / largest)).toBeLessThan(1e-14 * largest);
    }
  });

  it('takes zeros, repeated singular values and matrices of low rank', async () => {
    const zeros = matrix(5, 3, new Float64Array(15));
    const { left, values, right } = await svd(zeros);
    expect([...values]).toEqual([0, 0, 0]);
    expect(distance(product(transposed(left), left).data, identity(3))).toBeLessThan(1e-14);
    expect(distance(product(right, transposed(right)).data, identity(3))).toBeLessThan(1e-14);
    expectSvd(matrix(6, 6, identity(6)), await svd(matrix(6, 6, identity(6))));
    const low = product(random(20, 3, 1), random(3, 15, 2));
    const result = await svd(low);
    expectSvd(low, result);
    expect(result.values[3]).toBeLessThan(1e-14 * result.values[0]!);
    // Equal rows and a column of zeros.
    const dull = matrix(4, 4, [1, 2, 0, 3, 1, 2, 0, 3, 1, 2, 0, 3, 1, 2, 0, 3]);
    expectSvd(dull, await svd(dull));
  });

  it('keeps its accuracy at the ends of the range', async () => {
    const a = random(9, 6, 8);
    const { values } = await svd(a);
    for (const scale of [1e300, 1e-300, 2 ** -1060]) {
      const scaled = await svd({ ...a, data: a.data.map((value) => value * scale) });
      const tolerance = scale < 1e-305 ? 1e-3 : 1e-13;
      scaled.values.forEach((value, index) => expect(Math.abs(value / scale / values[index]! - 1)).toBeLessThan(tolerance));
    }
  });

  it('finds small singular values to all digits in columns of very different sizes', async () => {
    const a = random(8, 5, 3);
    const { values } = await svd({ ...a, data: a.data.map((value, index) => value * 10 ** (-6 * (index % 5))) });
    // The product of singular values is |det| of the triangle, which scales exactly with the columns.
    const { values: plain } = await svd(a);
    const logOf = (numbers: Float64Array): number => numbers.reduce((sum, value) => sum + Math.log10(value), 0);
    expect(logOf(values)).toBeCloseTo(logOf(plain) - 60, 10);
  });

  it('refuses numbers that are not finite, and stops when asked', async () => {
    await expect(svd(matrix(2, 2, [1, NaN, 0, 1]))).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE' });
    await expect(symmetricEigen(matrix(2, 2, [1, 0, Infinity, 1]))).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE' });
    await expect(qr(matrix(1, 1, [-Infinity]))).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE' });
    await expect(svd(random(4, 4, 1), { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort();
    }, 60);
    await expect(svd(random(500, 500, 1), { signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});

describe('qr', () => {
  it('pivots to a falling diagonal and is orthonormal', async () => {
    for (const [rows, columns] of [[9, 5], [5, 9], [6, 6], [0, 2], [2, 0]] as const) {
      const a = random(rows, columns, 4);
      const { q, r, order } = await qr(a, { pivot: true });
      const k = Math.min(rows, columns);
      expect(distance(product(transposed(q), q).data, identity(k))).toBeLessThan(1e-14);
      const permuted = matrix(rows, columns, a.data.map((_, index) => a.data[index - (index % columns) + order[index % columns]!]!));
      expect(distance(product(q, r).data, permuted.data)).toBeLessThan(1e-14);
      const diagonal = Array.from({ length: k }, (_, index) => r.data[index * columns + index]!);
      expect(diagonal).toEqual(diagonal.slice().sort((x, y) => y - x));
      expect(r.data.every((value, index) => value === 0 || index % columns >= Math.floor(index / columns))).toBe(true);
    }
  });
});

describe('symmetricEigen', () => {
  it.each([0, 1, 2, 5, 40])('makes up a matrix of %i rows', async (size) => {
    const a = random(size, size, size + 1);
    const symmetric = matrix(size, size, a.data.map((value, index) => value + a.data[(index % size) * size + Math.floor(index / size)]!));
    const { values, vectors } = await symmetricEigen(symmetric);
    expect(distance(product(transposed(vectors), scaledRows(vectors, values)).data, symmetric.data)).toBeLessThan(1e-13 * Math.max(1, size));
    expect(distance(product(vectors, transposed(vectors)).data, identity(size))).toBeLessThan(1e-13);
    expect([...values]).toEqual([...values].sort((x, y) => x - y));
  });

  it('takes diagonal matrices, repeated and zero eigenvalues', async () => {
    expect([...(await symmetricEigen(matrix(3, 3, [2, 0, 0, 0, -1, 0, 0, 0, 2]))).values]).toEqual([-1, 2, 2]);
    const b = random(12, 4, 9);
    const { values } = await symmetricEigen(product(b, transposed(b)));
    const { values: singular } = await svd(b);
    expect(distance(values.subarray(8).slice().reverse(), singular.map((value) => value * value))).toBeLessThan(1e-13 * singular[0]! ** 2);
    expect(Math.max(...values.subarray(0, 8).map(Math.abs))).toBeLessThan(1e-13);
    await expect(symmetricEigen(random(2, 3, 1))).rejects.toThrow(RangeError);
  });
});

describe('multiplyTransposed', () => {
  it.each([
    [1, 1, 1],
    [4, 4, 512],
    [5, 7, 513],
    [3, 2, 1100],
    [0, 3, 2],
    [3, 0, 2],
    [2, 3, 0],
  ])('[%i] · [%i] over %i', async (m, n, k) => {
    const [a, b] = [random(m, k, 1), random(n, k, 2)];
    expect(distance((await multiplyTransposed(a, b)).data, product(a, transposed(b)).data)).toBeLessThan(1e-12);
  });
});

describe('cholesky and solveLowerFromRight', () => {
  it('solve X·L = B', () => {
    const size = 6;
    const g = random(9, size, 5);
    const l = product(transposed(g), g);
    const whole = l.data.slice();
    expect(cholesky(l.data, size)).toBe(true);
    const lower = matrix(size, size, l.data.map((value, index) => (index % size <= Math.floor(index / size) ? value : 0)));
    expect(distance(product(lower, transposed(lower)).data, whole)).toBeLessThan(1e-14);
    const x = random(3, size, 6);
    const b = product(x, lower).data;
    solveLowerFromRight(b, l.data, size);
    expect(distance(b, x.data)).toBeLessThan(1e-12);
    expect(cholesky(Float64Array.of(1, 2, 2, 1), 2)).toBe(false);
  });
});

describe('truncatedSvd', () => {
  /** Orthonormal vectors with the given singular values. */
  async function withSpectrum(rows: number, columns: number, values: Float64Array): Promise<Matrix<Float32Array>> {
    const [u, v] = [(await qr(random(rows, values.length, 11))).q, (await qr(random(columns, values.length, 12))).q];
    const { data } = product(u, scaledRows(transposed(v), values));
    return { data: Float32Array.from(data), rows, columns };
  }

  it('finds the leading values and vectors of a large matrix, and bounds its error', async () => {
    const spectrum = Float64Array.from({ length: 120 }, (_, index) => 1 / (index + 1));
    for (const [rows, columns] of [[200, 150], [150, 200]] as const) {
      const a = await withSpectrum(rows, columns, spectrum);
      const result = await truncatedSvd(a, { rank: 12 });
      // The farther a value stands above the 23rd, the first beyond the basis, the more of it power iterations bring in.
      const shortfall = ({ values }: Svd): number[] => [...values].map((value, index) => Math.abs(value * (index + 1) - 1));
      expect(Math.max(...shortfall(result).slice(0, 6))).toBeLessThan(1e-5);
      expect(Math.max(...shortfall(await truncatedSvd(a, { rank: 12, powerIterations: 6 })))).toBeLessThan(1e-5);
      result.values.forEach((value, index) => expect(spectrum[index]! - value).toBeLessThan(result.bound));
      const best = Math.sqrt(energy(spectrum.subarray(12)));
      const difference = rebuilt(result).data.map((value, index) => value - a.data[index]!);
      expect(Math.sqrt(energy(difference))).toBeCloseTo(result.error, 6);
      expect(result.error / best).toBeGreaterThan(0.999999);
      expect(result.error / best).toBeLessThan(1.001);
      // The basis has 22 directions, the best of which miss σ₂₃ and all after.
      expect(result.bound / Math.sqrt(energy(spectrum.subarray(22)))).toBeGreaterThan(0.999999);
      expect(result.bound / Math.sqrt(energy(spectrum.subarray(22)))).toBeLessThan(1.1);
      expect(distance(product(transposed(result.left), result.left).data, identity(12))).toBeLessThan(1e-12);
      expect(distance(product(result.right, transposed(result.right)).data, identity(12))).toBeLessThan(1e-12);
      expect(await truncatedSvd(a, { rank: 12 })).toEqual(result);
    }
  });

  it('recovers a matrix of that rank or less', async () => {
    const a = await withSpectrum(160, 130, Float64Array.of(3, 2, 1, 0.5));
    for (const rank of [4, 9]) {
      const result = await truncatedSvd(a, { rank });
      expect(distance(rebuilt(result).data, a.data)).toBeLessThan(1e-6);
      expect(result.bound).toBeLessThan(1e-4);
    }
    const zeros = { data: new Float32Array(130 * 160), rows: 130, columns: 160 };
    expect([...(await truncatedSvd(zeros, { rank: 2 })).values]).toEqual([0, 0]);
  });

  it('is the exact decomposition, cut off, when most is kept', async () => {
    const a = random(20, 30, 7);
    const whole = await svd(a);
    const { values, error, bound } = await truncatedSvd(a, { rank: 8 });
    expect(values).toEqual(whole.values.subarray(0, 8));
    expect(error).toBeCloseTo(Math.sqrt(energy(whole.values.subarray(8))), 12);
    expect(bound).toBe(0);
    await expect(truncatedSvd(a, { rank: 21 })).rejects.toThrow(RangeError);
    await expect(truncatedSvd(a, { rank: 0 })).rejects.toThrow(RangeError);
  });

  it('is as exact from the Gram matrix of a larger one, tall or wide', async () => {
    for (const [rows, columns] of [[140, 110], [110, 140], [120, 120]] as const) {
      const a = random(rows, columns, rows);
      const whole = await svd(a);
      const result = await truncatedSvd(a, { rank: 60 });
      expect(distance(result.values, whole.values.subarray(0, 60))).toBeLessThan(1e-13 * whole.values[0]!);
      expect(Math.abs(result.error / Math.sqrt(energy(whole.values.subarray(60))) - 1)).toBeLessThan(1e-12);
      const difference = rebuilt(result).data.map((value, index) => value - a.data[index]!);
      expect(Math.abs(Math.sqrt(energy(difference)) / result.error - 1)).toBeLessThan(1e-12);
      expect(distance(product(transposed(result.left), result.left).data, identity(60))).toBeLessThan(1e-13);
      expect(distance(product(result.right, transposed(result.right)).data, identity(60))).toBeLessThan(1e-13);
    }
  });

  it('has orthonormal vectors where values are zero or vanish beside the largest', async () => {
    for (const spectrum of [Float64Array.of(3, 2, 1), Float64Array.from({ length: 100 }, (_, index) => 10 ** (-index / 8))]) {
      const [u, v] = [(await qr(random(130, spectrum.length, 11))).q, (await qr(random(120, spectrum.length, 12))).q];
      const a = product(u, scaledRows(transposed(v), spectrum));
      const result = await truncatedSvd(a, { rank: 90 });
      expect(distance(result.values.subarray(0, Math.min(40, spectrum.length)), spectrum.subarray(0, 40))).toBeLessThan(1e-13);
      expect(distance(product(transposed(result.left), result.left).data, identity(90))).toBeLessThan(1e-12);
      expect(distance(product(result.right, transposed(result.right)).data, identity(90))).toBeLessThan(1e-12);
      // Eigenvalues of A·Aᵀ tell values apart down to the root of the precision.
      expect(distance(rebuilt(result).data, a.data)).toBeLessThan(Math.sqrt(Number.EPSILON) * spectrum[0]!);
    }
    const { left, right } = await truncatedSvd(matrix(100, 120, new Float64Array(12_000)), { rank: 50 });
    expect(distance(product(transposed(left), left).data, identity(50))).toBeLessThan(1e-13);
    expect(distance(product(right, transposed(right)).data, identity(50))).toBeLessThan(1e-13);
  });

  it('takes entries whose squares leave the range', async () => {
    const a = random(120, 110, 5);
    const { values } = await truncatedSvd(a, { rank: 50 });
    for (const scale of [1e200, 1e-200]) {
      const scaled = await truncatedSvd({ ...a, data: a.data.map((value) => value * scale) }, { rank: 50 });
      scaled.values.forEach((value, index) => expect(Math.abs(value / scale / values[index]! - 1)).toBeLessThan(1e-12));
    }
  });

  it('refuses numbers that are not finite', async () => {
    const data = new Float32Array(130 * 130);
    data[5] = NaN;
    await expect(truncatedSvd({ data, rows: 130, columns: 130 }, { rank: 2 })).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE' });
  });

  it('does not hold the thread', async () => {
    const a = { data: Float32Array.from({ length: 700 * 700 }, createRandom(1)), rows: 700, columns: 700 };
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await truncatedSvd(a, { rank: 100 });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
  });
});
