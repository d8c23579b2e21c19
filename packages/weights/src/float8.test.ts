import type { QuantizedWeight } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { dequantize, squaredError } from './dequantize.js';
import { float8Values, toFloat8 } from './float8.js';
import { matMulNBitsProblem } from './mat-mul-nbits.js';
import { quantizeMatrix } from './quantize.js';
import { resolveScheme, type QuantizerOptions } from './scheme.js';
import { deserializeForm, serializeForm } from './serialize.js';
import { sparseWeight } from './sparse/sparse-weight.js';
import { storedBits } from './stored-bits.js';
import { structureProblem } from './structure-problem.js';

const options: QuantizerOptions = { bits: 8, symmetric: true, numbers: 'float8-e4m3' };
const weight = Float32Array.from({ length: 6 * 64 }, (_, index) => Math.sin(index * 1.7) * 10 ** ((index % 7) - 4));

describe('8-bit floats', () => {
  it('have the values of the specification', () => {
    expect(float8Values[0x7e]).toBe(448);
    expect(float8Values[0x08]).toBe(2 ** -6);
    expect(float8Values[0x01]).toBe(2 ** -9);
    expect(float8Values[0x38]).toBe(1);
    expect(float8Values[0xb8]).toBe(-1);
    expect(Object.is(float8Values[0x80], -0)).toBe(true);
    expect([...float8Values].flatMap((value, code) => (Number.isNaN(value) ? [code] : []))).toEqual([0x7f, 0xff]);
  });

  it('are the nearest code of every number, the even one of two, and saturate', () => {
    for (let code = 0; code <= 0x7e; code++) {
      const value = float8Values[code]!;
      expect([toFloat8(value), toFloat8(-value)]).toEqual([code, code | 0x80]);
      if (code === 0x7e) continue;
      const middle = (value + float8Values[code + 1]!) / 2;
      expect(toFloat8(middle)).toBe(code % 2 === 0 ? code : code + 1);
      expect(toFloat8(middle * (1 - 2 ** -20))).toBe(code);
      expect(toFloat8(-middle * (1 + 2 ** -20))).toBe((code + 1) | 0x80);
    }
    expect([449, 464, 1e9].map(toFloat8)).toEqual([0x7e, 0x7e, 0x7e]);
  });

  it.each([{ granularity: 'tensor' }, { groupSize: -1 }, { groupSize: 16 }] as const)('take the largest magnitude of a grid to 448: %o', (grids) => {
    const form = quantizeMatrix(weight, [6, 64], { ...options, ...grids }, 'float32');
    expect(form.scheme).toMatchObject({ numbers: 'float8-e4m3', symmetric: true });
    expect(structureProblem(form)).toBeUndefined();
    const dense = dequantize(form);
    const perGrid = weight.length / form.scales.length;
    for (const [grid, scale] of form.scales.entries()) {
      const magnitudes = weight.subarray(grid * perGrid, (grid + 1) * perGrid).map(Math.abs);
      expect(scale).toBe(Math.fround(Math.max(...magnitudes) / 448));
      // Half a step: 2^−4 of the value, or 2^−10 of the scale among subnormal numbers.
      for (let index = 0; index < perGrid; index++) {
        const at = grid * perGrid + index;
        expect(Math.abs(dense[at]! - weight[at]!)).toBeLessThanOrEqual(Math.max(magnitudes[index]! * 2 ** -4, scale * 2 ** -10) * (1 + 1e-6));
      }
    }
    const exact = (index: number): number => form.scales[Math.floor(index / perGrid)]! * float8Values[form.codes[index]!]!;
    expect(squaredError(weight, form)).toBe(weight.reduce((sum, value, index) => sum + (value - exact(index)) ** 2, 0));
    const { tensors, metadata } = serializeForm(form);
    expect(deserializeForm(tensors, metadata)).toEqual(form);
    expect(storedBits(form)).toBe(weight.length * 8 + form.scales.length * 32);
  });

  it('keep zeros and pruned entries exactly zero', () => {
    const zeros = quantizeMatrix(new Float32Array(64), [1, 64], options, 'bfloat16');
    expect([zeros.scales[0], new Set(zeros.codes)]).toEqual([1, new Set([0])]);
    const mask = Uint8Array.from(weight, (_, index) => index % 2);
    const sparse = sparseWeight(quantizeMatrix(weight, [6, 64], options, 'float32'), { kind: 'unstructured' }, mask);
    expect(structureProblem(sparse)).toBeUndefined();
    const { tensors, metadata } = serializeForm(sparse);
    expect(deserializeForm(tensors, metadata)).toEqual(sparse);
    const spoilt = { ...sparse, values: { ...(sparse.values as QuantizedWeight), codes: (sparse.values as QuantizedWeight).codes.map((code) => code || 1) } };
    expect(structureProblem(spoilt)).toMatch(/pruned and not zero/);
  });

  it('refuse what floats are not', () => {
    for (const changes of [{ bits: 4 }, { symmetric: false }, { clip: 'mse' }] as const) expect(() => resolveScheme({ ...options, ...changes }, 64)).toThrow(RangeError);
    const form = quantizeMatrix(weight, [6, 64], options, 'float32');
    expect(structureProblem({ ...form, codes: form.codes.map((code, index) => (index === 7 ? 0xff : code)) })).toMatch(/code 7 is 255, NaN/);
    expect(structureProblem({ ...form, scheme: { ...form.scheme, bits: 4 } })).toMatch(/8-bit floats/);
    expect(matMulNBitsProblem(form, 32)).toMatch(/8-bit floats/);
    expect(() => quantizeMatrix(Float32Array.of(1, NaN), [1, 2], options, 'float32')).toThrow(expect.objectContaining({ code: 'PARE_WEIGHT_NOT_FINITE' }));
    expect(() => quantizeMatrix(Float32Array.of(1e38, 1), [1, 2], options, 'float16')).toThrow(expect.objectContaining({ code: 'PARE_SCALE_OVERFLOW' }));
  });
});
