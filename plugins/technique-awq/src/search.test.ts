import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type Backend, type HostTensor } from '@pare/core';
import { ExecutableCache } from '@pare/model';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clampGroups, searchClip } from './clip-search.js';
import { DeviceLosses } from './device-losses.js';
import { gridExponents, scalesOf, searchScales } from './scale-grid.js';
import { TrialMatrix, type TrialValues } from './trial-matrix.js';
import { roundingError, type TrialGrid } from './trial-rounding.js';

const silent = (): void => undefined;
const grid: TrialGrid = { bits: 3, symmetric: false, groupSize: 16 };
const [rows, columns, tokens] = [12, 32, 200];
let backend: Backend;
let executables: ExecutableCache;
let losses: DeviceLosses;

beforeAll(async () => {
  backend = await referenceBackend.create({}, { log: { debug: silent, info: silent, warn: silent, error: silent } });
  executables = new ExecutableCache(backend);
  losses = new DeviceLosses(executables);
});
afterAll(async () => {
  await executables[Symbol.asyncDispose]();
  expect(backend.memory().tensors).toBe(0);
  await backend[Symbol.asyncDispose]();
});

/** The backend as one whose tensors lie in memory of their own. */
function apart(): Backend {
  return new Proxy(backend, {
    get(target, key) {
      if (key === 'device') return { ...target.device, separate: { valueBytes: 2 ** 30, statesBytes: 2 ** 30 } };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const matrixOf = (values: Float32Array): HostTensor & { readonly data: Float32Array } => float32Tensor([rows, columns], values);

/** What a trial made, on the host. */
async function valuesOf(trial: Promise<TrialValues>): Promise<Float32Array> {
  const values = await trial;
  if ('data' in values) return values.data;
  using tensor = values;
  return (await backend.read(tensor)).data as Float32Array;
}

/** About normal. */
function noise(count: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random() + random() + random() + random() - 2);
}

function gramOf(inputs: Float32Array): Float32Array {
  const gram = new Float64Array(columns * columns);
  for (let start = 0; start < inputs.length; start += columns) {
    for (let a = 0; a < columns; a++) for (let b = 0; b < columns; b++) gram[a * columns + b]! += inputs[start + a]! * inputs[start + b]!;
  }
  return Float32Array.from(gram);
}

function meanMagnitudes(inputs: Float32Array): Float64Array {
  const means = new Float64Array(columns);
  for (const [index, value] of inputs.entries()) means[index % columns]! += (Math.abs(value) * columns) / inputs.length;
  return means;
}

/** Σ over tokens of (Σ_{j from … to} error_j x_j)² of one row. */
function partError(error: Float32Array, row: number, from: number, to: number, inputs: Float32Array): number {
  let sum = 0;
  for (let start = 0; start < inputs.length; start += columns) {
    let part = 0;
    for (let column = from; column < to; column++) part += error[row * columns + column]! * inputs[start + column]!;
    sum += part * part;
  }
  return sum;
}

describe('scales', () => {
  it('have largest and smallest values that are reciprocals, for every exponent', () => {
    const magnitudes = noise(64, 1).map((value) => Math.exp(4 * value));
    for (const exponent of gridExponents(20)) {
      const scales = scalesOf(magnitudes, exponent);
      expect(Math.max(...scales) * Math.min(...scales)).toBeCloseTo(1, 12);
    }
    expect(gridExponents(20)).toEqual(Array.from({ length: 20 }, (_, index) => index / 20));
    expect([...scalesOf(magnitudes, 0)]).toEqual(new Array(64).fill(1));
  });

  it('are all 1 where every input is equally large, and the first exponent is taken', async () => {
    for (const exponent of gridExponents(20)) expect([...scalesOf(new Float32Array(5).fill(0.3), exponent)]).toEqual([1, 1, 1, 1, 1]);
    const chosen = await searchScales(new Float32Array(5).fill(0.3), 20, () => Promise.resolve(2));
    expect(chosen).toMatchObject({ exponent: 0, losses: new Array(20).fill(2) as number[] });
  });

  it('stay finite for inputs that never fire', () => {
    const scales = scalesOf([0, 1, 100], 0.95);
    expect(scales.every((scale) => scale > 0 && scale < Infinity)).toBe(true);
  });

  it('pass over losses that are no numbers, and are none when all are such', async () => {
    const numbers = [NaN, 3, NaN, 2];
    expect(await searchScales([1, 2], 4, () => Promise.resolve(numbers.shift()!))).toMatchObject({ exponent: 0.75 });
    expect(await searchScales([1, 2], 4, () => Promise.resolve(NaN))).toBeUndefined();
  });

  it('protect an input that is a hundred times larger: half the error, or less, at three bits', async () => {
    const weight = noise(rows * columns, 2);
    const inputs = noise(tokens * columns, 3).map((value, index) => (index % columns === 5 ? 100 * value : value));
    using gram = backend.write(float32Tensor([columns, columns], gramOf(inputs)));
    const chosen = await searchScales(meanMagnitudes(inputs), 20, (scales) => losses.trace(matrixOf(roundingError(weight, columns, scales, grid)), gram));
    expect(chosen!.exponent).toBeGreaterThan(0);
    expect(Math.min(...chosen!.losses)).toBeLessThan(chosen!.losses[0]! / 2);
  });
});

describe('losses from Gram matrices', () => {
  it('are those of the tokens themselves', async () => {
    const inputs = noise(tokens * columns, 4);
    const error = noise(rows * columns, 5);
    using gram = backend.write(float32Tensor([columns, columns], gramOf(inputs)));
    using blocks = await losses.gramBlocks(gram, 16);
    let whole = 0;
    for (let row = 0; row < rows; row++) whole += partError(error, row, 0, columns, inputs);
    const groups = await losses.groups(matrixOf(error.slice()), blocks);
    for (let row = 0; row < rows; row++) for (const group of [0, 1]) expect(groups[group * rows + row]! / partError(error, row, 16 * group, 16 * group + 16, inputs)).toBeCloseTo(1, 4);
    expect((await losses.trace(matrixOf(error), gram)) / whole).toBeCloseTo(1, 5);
  });
});

/** (Q(clamp(v, ±limit)) − v)·diag(s)⁻¹ for v = W·diag(s), in doubles, codes counted from the range: halves to even. */
function cutError(weight: Float32Array, scales: Float64Array, { bits, symmetric, groupSize }: TrialGrid, shrink: number): Float32Array {
  const largest = 2 ** bits - 1;
  const steps = symmetric ? largest / 2 : largest;
  const even = (value: number): number => (Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));
  const error = new Float32Array(weight.length);
  for (let start = 0; start < weight.length; start += groupSize) {
    const values = Array.from(weight.subarray(start, start + groupSize), (value, index) => value * scales[(start + index) % columns]!);
    const limit = shrink * Math.max(...values.map(Math.abs));
    const [low, high] = [Math.max(-limit, Math.min(0, ...values)), Math.min(limit, Math.max(0, ...values))];
    const range = (symmetric ? Math.max(-low, high) : high - low) || 1;
    const zero = symmetric ? 2 ** (bits - 1) : Math.min(largest, even((-low / range) * steps));
    for (const [index, value] of values.entries()) {
      const code = Math.min(largest - zero, Math.max(-zero, even((Math.min(high, Math.max(low, value)) / range) * steps)));
      error[start + index] = ((code * range) / steps - value) / scales[(start + index) % columns]!;
    }
  }
  return error;
}

describe('rounding on the device', () => {
  it.each([
    [true, 3],
    [false, 3],
    [true, 8],
    [false, 4],
  ])('is that in doubles (symmetric: %s, %i bits)', async (symmetric, bits) => {
    const trial = { ...grid, bits, symmetric };
    const weight = noise(rows * columns, 9).map((value, index) => (index % 13 === 0 ? 3 * value : value));
    // A group of zeros, and one with numbers of one sign only.
    weight.fill(0, 0, 16);
    for (let index = 16; index < 32; index++) weight[index] = 1 + Math.abs(weight[index]!);
    const scales = scalesOf(Float64Array.from({ length: columns }, (_, index) => 0.1 + (index % 7)), 0.5);
    const expected = roundingError(weight, columns, scales, trial);
    // Extremes of a symmetric grid stand between two codes, as far from the one as from the other.
    const expectErrors = (errors: Float32Array): void => {
      expect(errors.reduce((most, value, index) => Math.max(most, Math.abs(Math.abs(value) - Math.abs(expected[index]!))), 0)).toBeLessThan(2e-6);
    };
    await using there = new ExecutableCache(apart());
    using here = new TrialMatrix(executables, weight, columns, trial);
    using device = new TrialMatrix(there, weight, columns, trial);
    expect(await valuesOf(here.error(scales))).toEqual(expected);
    expectErrors(await valuesOf(device.error(scales)));
    expectErrors((await valuesOf(here.rounded(scales))).map((value, index) => value - weight[index]!));
    using cuts = await here.cuts(scales);
    for (const [group, value] of cuts.largest.entries()) {
      const part = weight.subarray(16 * group, 16 * group + 16).map((weightOf, index) => Math.abs(weightOf * scales[(16 * group + index) % columns]!));
      expect(Math.abs(value - Math.max(...part))).toBeLessThan(1e-6);
    }
    expectErrors(await valuesOf(cuts.error(1)));
    const cut = cutError(weight, scales, trial, 0.75);
    expect((await valuesOf(cuts.error(0.75))).reduce((most, value, index) => Math.max(most, Math.abs(value - cut[index]!)), 0)).toBeLessThan(2e-6);
  });
});

describe('clipping', () => {
  it.each([true, false])('never makes a group worse, and takes the best of the ten ranges (symmetric: %s)', async (symmetric) => {
    const trial = { ...grid, symmetric };
    const weight = noise(rows * columns, 6).map((value, index) => (index % 21 === 0 ? 4 * value : value));
    const inputs = noise(tokens * columns, 7);
    const scales = scalesOf(meanMagnitudes(inputs), 0.5);
    using gram = backend.write(float32Tensor([columns, columns], gramOf(inputs)));
    using matrix = new TrialMatrix(executables, weight, columns, trial);
    const { limits, before, after } = await searchClip(losses, matrix, scales, trial.groupSize, gram);
    expect(after).toBeLessThan(before);
    using cuts = await matrix.cuts(scales);
    const errorAt = (limitOf: (group: number, largest: number) => number): Float32Array => {
      const scaled = weight.map((value, index) => value * scales[index % columns]!);
      const cut = scaled.slice();
      const largest = Float64Array.from(limits, (_, group) => Math.max(...scaled.subarray(16 * group, 16 * group + 16).map(Math.abs)));
      clampGroups(cut, 16, largest.map((value, group) => limitOf(group, value)));
      const rounded = roundingError(cut, columns, new Float64Array(columns).fill(1), trial);
      return scaled.map((value, index) => (cut[index]! + rounded[index]! - value) / scales[index % columns]!);
    };
    // On a symmetric grid the extreme stands between two codes, and the last bit of the range decides which it gets: there the errors are those that the search saw.
    const tried: Float32Array[] = [];
    for (let step = 0; step < 10; step++) tried.push(symmetric ? await valuesOf(cuts.error(1 - step / 20)) : errorAt((_group, largest) => largest * (1 - step / 20)));
    const stepOf = (index: number): number => Math.round(20 * (1 - limits[index]! / cuts.largest[index]!));
    const chosen = symmetric ? undefined : errorAt((group) => limits[group]!);
    for (let row = 0; row < rows; row++) {
      for (const group of [0, 1]) {
        const of = (error: Float32Array): number => partError(error, row, 16 * group, 16 * group + 16, inputs);
        const all = tried.map(of);
        const found = chosen === undefined ? all[stepOf(2 * row + group)]! : of(chosen);
        expect(found).toBeLessThanOrEqual(all[0]! * (1 + 1e-5));
        expect(found / Math.min(...all)).toBeCloseTo(1, 3);
      }
    }
  });

  it('leaves groups of zeros alone', async () => {
    using gram = backend.write(float32Tensor([columns, columns], gramOf(noise(tokens * columns, 8))));
    const zeros = new Float32Array(rows * columns);
    using matrix = new TrialMatrix(executables, zeros, columns, grid);
    const { limits, before, after } = await searchClip(losses, matrix, new Float64Array(columns).fill(1), grid.groupSize, gram);
    expect([before, after, ...limits]).toEqual(new Array(2 + limits.length).fill(0));
  });
});
