import { describe, expect, it } from 'vitest';
import { erf, gelu, geluTanh } from './special-functions.js';

describe('erf', () => {
  // Abramowitz & Stegun, table 7.1, and its complement's tail.
  it.each([
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [3, 0.9999779095030014],
    [3.5, 0.9999992569016276],
    [5, 0.9999999999984626],
    [7, 1],
    [Infinity, 1],
  ])('of %d is %d, and odd', (x, expected) => {
    expect(erf(x)).toBeCloseTo(expected, 14);
    expect(erf(-x)).toBe(-erf(x));
  });

  it('is continuous where the formulae meet, and keeps NaN', () => {
    expect(erf(3 + 1e-12) - erf(3 - 1e-12)).toBeLessThan(1e-14);
    expect(erf(NaN)).toBeNaN();
  });
});

describe('gelu', () => {
  it('is x at the far right, 0 at the far left, and −0.15866 at −1', () => {
    expect(gelu(20)).toBe(20);
    expect([gelu(-20), gelu(-Infinity), geluTanh(-Infinity)].map(Math.abs)).toEqual([0, 0, 0]);
    expect(gelu(-1)).toBeCloseTo(-0.15865525393145707, 15);
    expect(geluTanh(-1)).toBeCloseTo(-0.15880800939172324, 12);
  });
});
