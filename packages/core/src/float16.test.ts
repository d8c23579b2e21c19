import { describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16, fromFloat16Bits, roundHalfEven, toBfloat16Bits, toFloat16Bits } from './float16.js';

describe('float16', () => {
  it('round-trips every finite half', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = fromFloat16Bits(bits);
      if (Number.isNaN(value)) continue;
      expect(toFloat16Bits(value)).toBe(bits);
    }
  });

  it.each([
    [65504, 0x7bff],
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [1 + 2 ** -11, 0x3c00], // tie to even, down
    [1 + 3 * 2 ** -11, 0x3c02], // tie to even, up
    [2 ** -25, 0], // half of the smallest subnormal: tie to even
    [1.5 * 2 ** -24, 2],
    [-0, 0x8000],
  ])('rounds %d', (value, bits) => {
    expect(toFloat16Bits(value)).toBe(bits);
  });

  it('converts arrays like scalars', () => {
    const values = Float32Array.of(0.1, -3.25, 1e-6, 70000, 1);
    expect([...float32ToFloat16(values)]).toEqual([...values].map(toFloat16Bits));
    expect([...float32ToBfloat16(values)]).toEqual([...values].map(toBfloat16Bits));
    expect([...float16ToFloat32(Uint16Array.of(0x3c00, 0xc000))]).toEqual([1, -2]);
    expect([...bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc000))]).toEqual([1, -2]);
  });
});

describe('roundHalfEven', () => {
  it.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, -0],
    [-1.5, -2],
    [-2.5, -2],
    [2.4, 2],
    [-2.6, -3],
  ])('%d', (value, expected) => {
    expect(roundHalfEven(value)).toBeCloseTo(expected, 12);
  });
});
