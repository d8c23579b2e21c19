import { createRandom, isPareError } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { computeGrid, encode } from './grid.js';
import { dequantize } from './dequantize.js';
import { quantizeMatrix } from './quantize.js';
import { roundToStorage } from './rounding.js';
import { groupsPerRow, resolveScheme, symmetricZero, type QuantizerOptions, type ScaleType } from './scheme.js';

const scaleTypes: readonly ScaleType[] = ['float32', 'float16', 'bfloat16'];
const widths = [2, 3, 4, 5, 6, 7, 8] as const;

/** A matrix of values that are near normal with a few large ones, as weights are. */
function sample(rows: number, columns: number, seed = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: rows * columns }, () => {
    const bell = random() + random() + random() + random() - 2;
    return bell * (random() < 0.01 ? 0.2 : 0.04);
  });
}

function uniform(count: number, low: number, high: number, seed = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => low + (high - low) * random());
}

function meanSquare(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + (value - b[index]!) ** 2, 0) / a.length;
}

function normError(a: Float32Array, b: Float32Array, norm: number): number {
  return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]!) ** norm, 0);
}

function reconstruct(weight: Float32Array, shape: readonly [number, number], options: QuantizerOptions, scaleType: ScaleType = 'float32'): Float32Array {
  return dequantize(quantizeMatrix(weight, shape, options, scaleType));
}

describe('resolveScheme', () => {
  it('calls one group a row channel granularity', () => {
    expect(resolveScheme({ bits: 4, symmetric: true, groupSize: -1 }, 96).granularity).toBe('channel');
    expect(resolveScheme({ bits: 4, symmetric: true, groupSize: 96 }, 96)).toEqual({ bits: 4, symmetric: true, granularity: 'channel', groupSize: 96 });
    expect(resolveScheme({ bits: 4, symmetric: true, groupSize: 128 }, 96).groupSize).toBe(96);
    expect(resolveScheme({ bits: 4, symmetric: true, groupSize: 32 }, 96).granularity).toBe('group');
  });

  it('counts a shorter last group', () => {
    expect(groupsPerRow(resolveScheme({ bits: 4, symmetric: true, groupSize: 40 }, 96), 96)).toBe(3);
  });

  it.each([1, 9, 4.5])('refuses %s bits', (bits) => {
    expect(() => resolveScheme({ bits, symmetric: true }, 8)).toThrow(RangeError);
  });

  it.each([0, -2, 1.5])('refuses group size %s', (groupSize) => {
    expect(() => resolveScheme({ bits: 4, symmetric: true, groupSize }, 8)).toThrow(RangeError);
  });
});

describe('rounding to a uniform grid', () => {
  it.each(widths.flatMap((bits) => [true, false].map((symmetric) => ({ bits, symmetric }))))(
    'stays within half a step inside the range: $bits bits, symmetric $symmetric',
    ({ bits, symmetric }) => {
      const [rows, columns] = [6, 64];
      const weight = sample(rows, columns);
      for (const scaleType of scaleTypes) {
        const form = quantizeMatrix(weight, [rows, columns], { bits, symmetric, groupSize: 16 }, scaleType);
        const values = dequantize(form);
        for (let index = 0; index < weight.length; index++) {
          const grid = Math.floor(index / 16);
          const scale = form.scales[grid]!;
          const zero = form.zeros?.[grid] ?? symmetricZero(bits);
          // Ends of the grid; beyond them a value is clamped (the symmetric top, and either asymmetric end by the rounding of zero).
          const low = scale * -zero;
          const high = scale * (2 ** bits - 1 - zero);
          const inside = Math.min(Math.max(weight[index]!, low), high);
          expect(Math.abs(values[index]! - inside)).toBeLessThanOrEqual(scale / 2 + 1e-6 * scale + 1e-7 * Math.abs(inside));
          const reach = symmetric ? 0.51 * scale : scale * (0.51 + 2 ** bits * 2 ** -9);
          expect(Math.abs(weight[index]! - inside)).toBeLessThanOrEqual(reach + (scaleType === 'float32' ? 0 : Math.abs(weight[index]!) * 2 ** -8));
        }
      }
    },
  );

  it('has error s²/12 on uniform data, 6.02 dB a bit', () => {
    const count = 4096;
    const weight = uniform(count, -1, 1);
    let previous: number | undefined;
    for (const bits of [3, 4, 5, 6, 7, 8]) {
      const form = quantizeMatrix(weight, [1, count], { bits, symmetric: false }, 'float32');
      const error = meanSquare(weight, dequantize(form));
      expect(error / (form.scales[0]! ** 2 / 12)).toBeGreaterThan(0.93);
      expect(error / (form.scales[0]! ** 2 / 12)).toBeLessThan(1.07);
      if (previous !== undefined) expect(10 * Math.log10(previous / error)).toBeCloseTo(6.02 + 20 * Math.log10((2 ** bits - 1) / (2 ** (bits - 1) - 1) / 2), 0);
      previous = error;
    }
  });

  it('keeps 0 exactly, wherever the data lie', () => {
    for (const symmetric of [true, false]) {
      for (const scaleType of scaleTypes) {
        const weight = Float32Array.of(0.31, 0, 0.9, 0.17, -0.02, 0, 0.5, 0.77);
        const values = reconstruct(weight, [2, 4], { bits: 4, symmetric }, scaleType);
        expect(values[1]).toBe(0);
        expect(values[5]).toBe(0);
      }
    }
  });

  it('is idempotent with the same grid', () => {
    const weight = sample(1, 64);
    for (const bits of widths) {
      for (const symmetric of [true, false]) {
        for (const scaleType of scaleTypes) {
          const grid = computeGrid(weight, { bits, symmetric }, scaleType);
          for (const value of weight) {
            const code = encode(value, grid, bits);
            expect(encode(Math.fround(grid.scale * (code - grid.zero)), grid, bits)).toBe(code);
          }
        }
      }
    }
  });

  it('errs no more with finer granularity, more bits, or the clip search under its own norm', () => {
    const shape = [16, 128] as const;
    const weight = sample(...shape, 7);
    for (const symmetric of [true, false]) {
      const error = (options: Partial<QuantizerOptions>): number => meanSquare(weight, reconstruct(weight, shape, { bits: 4, symmetric, ...options }));
      expect(error({ groupSize: 32 })).toBeLessThan(error({ granularity: 'channel' }));
      expect(error({ granularity: 'channel' })).toBeLessThan(error({ granularity: 'tensor' }));
      for (const bits of widths.slice(1)) expect(error({ bits, groupSize: 32 })).toBeLessThan(error({ bits: bits - 1, groupSize: 32 }));
      for (const granularity of ['group', 'channel', 'tensor'] as const) {
        for (const scaleType of scaleTypes) {
          const clipped = (clip: 'minmax' | 'mse'): number =>
            normError(weight, reconstruct(weight, shape, { bits: 3, symmetric, granularity, groupSize: 32, clip }, scaleType), 2.4);
          expect(clipped('mse')).toBeLessThan(clipped('minmax'));
        }
      }
    }
  });

  it('commutes with a positive factor when symmetric', () => {
    const weight = sample(4, 32, 3);
    const scaled = weight.map((value) => value * 8);
    const options = { bits: 4, symmetric: true, groupSize: 16 };
    const form = quantizeMatrix(weight, [4, 32], options, 'bfloat16');
    const other = quantizeMatrix(scaled, [4, 32], options, 'bfloat16');
    expect(other.codes).toEqual(form.codes);
    expect(other.scales).toEqual(form.scales.map((scale) => scale * 8));
  });

  it('includes 0 in the range of data far from it', () => {
    const weight = uniform(32, 5, 6);
    const form = quantizeMatrix(weight, [1, 32], { bits: 4, symmetric: false }, 'float32');
    expect(form.zeros![0]).toBe(0);
    expect(form.scales[0]).toBeCloseTo(Math.max(...weight) / 15, 6);
  });

  it('represents a constant row exactly when asymmetric', () => {
    for (const value of [0.3, -1.7]) {
      const weight = new Float32Array(16).fill(value);
      expect(reconstruct(weight, [1, 16], { bits: 4, symmetric: false })[0]).toBeCloseTo(Math.fround(value), 6);
    }
  });

  it('gives an all-zero group scale 1 and the zero as every code', () => {
    const weight = new Float32Array(32);
    for (const clip of ['minmax', 'mse'] as const) {
      const symmetric = quantizeMatrix(weight, [2, 16], { bits: 4, symmetric: true, groupSize: 8, clip }, 'float16');
      expect(symmetric.scales).toEqual(new Float32Array(4).fill(1));
      expect(symmetric.codes).toEqual(new Uint8Array(32).fill(8));
      const asymmetric = quantizeMatrix(weight, [2, 16], { bits: 4, symmetric: false, groupSize: 8, clip }, 'float16');
      expect(asymmetric.codes).toEqual(new Uint8Array(32));
      expect(asymmetric.zeros).toEqual(new Uint8Array(4));
    }
  });

  it('gives a shorter last group a grid of its own', () => {
    const weight = Float32Array.of(1, -1, 1, 1, 0.01, 0.02);
    const form = quantizeMatrix(weight, [1, 6], { bits: 4, symmetric: true, groupSize: 4 }, 'float32');
    expect([...form.scales]).toEqual([Math.fround(2 / 15), Math.fround((2 * Math.fround(0.02)) / 15)]);
    expect(dequantize(form)[4]).toBeCloseTo(0.01, 2);
  });

  it('puts the symmetric extremes on the ends of the grid, the negative tie downwards', () => {
    for (const bits of widths) {
      const form = quantizeMatrix(Float32Array.of(-0.75, 0.75, 0.1, 0), [1, 4], { bits, symmetric: true }, 'float32');
      expect([...form.codes.slice(0, 2)]).toEqual([0, 2 ** bits - 1]);
      expect(form.codes[3]).toBe(2 ** (bits - 1));
    }
  });

  it('rounds scales to their type before choosing codes', () => {
    const weight = sample(8, 32, 5);
    for (const scaleType of scaleTypes) {
      const form = quantizeMatrix(weight, [8, 32], { bits: 8, symmetric: true }, scaleType);
      for (let row = 0; row < 8; row++) {
        const scale = form.scales[row]!;
        expect(roundToStorage(scale, scaleType)).toBe(scale);
        if (scaleType === 'float32') continue;
        for (let column = 0; column < 32; column++) {
          const error = Math.abs(weight[row * 32 + column]! - scale * (form.codes[row * 32 + column]! - 128));
          const clamped = form.codes[row * 32 + column] === 255 || form.codes[row * 32 + column] === 0;
          if (!clamped) expect(error).toBeLessThanOrEqual(scale * 0.5000001);
        }
      }
    }
  });

  it('uses the smallest scale of the type for a range below it', () => {
    const form = quantizeMatrix(Float32Array.of(1e-9, -1e-9, 0, 0), [1, 4], { bits: 4, symmetric: true }, 'float16');
    expect(form.scales[0]).toBe(2 ** -24);
    expect(dequantize(form)).toEqual(new Float32Array(4));
  });

  it('refuses a scale beyond its type', () => {
    const weight = Float32Array.of(1e6, 0);
    expect(() => quantizeMatrix(weight, [1, 2], { bits: 2, symmetric: true }, 'float16')).toThrow(expect.objectContaining({ code: 'PARE_SCALE_OVERFLOW' }));
    expect(quantizeMatrix(weight, [1, 2], { bits: 2, symmetric: true }, 'bfloat16').scales[0]).toBeGreaterThan(6e5);
  });

  it.each([NaN, Infinity, -Infinity])('refuses %s, with its place', (value) => {
    const weight = new Float32Array(12).fill(0.5);
    weight[7] = value;
    try {
      quantizeMatrix(weight, [3, 4], { bits: 4, symmetric: true }, 'float32');
      expect.unreachable();
    } catch (error) {
      expect(isPareError(error) && error.code).toBe('PARE_WEIGHT_NOT_FINITE');
      expect(isPareError(error) && error.data['index']).toBe(7);
    }
  });
});

describe('the clip search', () => {
  it('finds the candidate that an exhaustive search with exact powers finds', () => {
    const weight = sample(12, 64, 11);
    for (const symmetric of [true, false]) {
      for (let row = 0; row < 12; row++) {
        const values = weight.subarray(row * 64, row * 64 + 64);
        const found = computeGrid(values, { bits: 3, symmetric, clip: 'mse' }, 'float32');
        const low = Math.min(0, ...values);
        const high = Math.max(0, ...values);
        let best = 0;
        let least = Infinity;
        for (let step = 0; step < 80; step++) {
          const shrink = 1 - step / 100;
          const scale = symmetric ? (shrink * 2 * Math.max(-low, high)) / 7 : (shrink * (high - low)) / 7;
          const zero = symmetric ? 4 : Math.round((-shrink * low) / scale);
          let error = 0;
          for (const value of values) {
            const code = Math.min(Math.max(Math.round(value / scale) + zero, 0), 7);
            error += Math.abs(value - scale * (code - zero)) ** 2.4;
          }
          if (error < least) {
            least = error;
            best = scale;
          }
        }
        expect(found.scale).toBeCloseTo(best, 6);
      }
    }
  });

  it('honours another norm', () => {
    const weight = sample(1, 64, 13);
    const error = (norm: number, under: number): number => normError(weight, reconstruct(weight, [1, 64], { bits: 2, symmetric: true, clip: 'mse', norm }), under);
    expect(error(1, 1)).toBeLessThanOrEqual(error(8, 1));
    expect(error(8, 8)).toBeLessThanOrEqual(error(1, 8));
  });
});
