import type { QuantizationScheme } from '@pare/core';

/**
 * The 8-bit float E4M3 of OCP's OFP8 specification (Micikevicius et al., arXiv 2209.05433), as `float8_e4m3fn` of ONNX and torch: a sign, 4 bits of exponent with bias 7, 3 of
 * fraction. It has no infinities; 0x7f and 0xff are NaN, the largest value is 448, the smallest positive one 2^−9.
 */
export const largestFloat8 = 448;

/** The value of each code: (−1)^s · 2^(e−7) · (1 + f/8), subnormal (e = 0) (−1)^s · 2^−6 · f/8. */
export const float8Values: Float32Array = Float32Array.from({ length: 256 }, (_, code) => {
  const sign = code >= 128 ? -1 : 1;
  const exponent = (code >> 3) & 15;
  const fraction = (code & 7) / 8;
  if (exponent === 15 && fraction === 7 / 8) return NaN;
  return exponent === 0 ? sign * fraction * 2 ** -6 : sign * (1 + fraction) * 2 ** (exponent - 7);
});

/** The code nearest to a finite value, ties to the even fraction; beyond ±448 the largest code. */
export function toFloat8(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= largestFloat8) return sign | 0x7e;
  // Below 2^−6 steps are 2^−9; above they are an eighth of the power of two below the value.
  const exponent = magnitude < 2 ** -6 ? -6 : Math.floor(Math.log2(magnitude));
  const step = 2 ** (exponent - 3);
  const steps = roundHalfEven(magnitude / step);
  // Steps 8 to 15 of an exponent; 16 is the first of the next one, which the sum of fields makes by itself.
  return sign | (exponent === -6 ? steps : ((exponent + 6) << 3) + steps);
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** True for codes that are 8-bit floats: value = scale · float8(code), without zero points. */
export function isFloat8({ numbers }: Pick<QuantizationScheme, 'numbers'>): boolean {
  return numbers === 'float8-e4m3';
}
