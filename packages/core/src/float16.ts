/* Conversions between float32 and the 16-bit float types. Rounding is to nearest, ties to even; infinities and NaN survive. */

const word = new Uint32Array(1);
const real = new Float32Array(word.buffer);

/** The bits of a float32 value rounded to IEEE half precision. Values beyond 65504 become infinite. */
export function toFloat16Bits(value: number): number {
  real[0] = value;
  const bits = word[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude >= 0x7f800000) return sign | 0x7c00 | (magnitude > 0x7f800000 ? 0x200 : 0);
  // 0x477ff000 = 65520, the smallest magnitude that rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: |value| in units of 2^-24, an exact product, then ties to even.
    real[0] = Math.abs(value) * 16777216;
    return sign | roundHalfEven(real[0]);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** The value of IEEE half-precision bits. */
export function fromFloat16Bits(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The bits of a float32 value rounded to bfloat16. */
export function toBfloat16Bits(value: number): number {
  real[0] = value;
  const bits = word[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The value of bfloat16 bits. */
export function fromBfloat16Bits(bits: number): number {
  word[0] = bits << 16;
  return real[0]!;
}

let halfTable: Float32Array | undefined;

/** Half-precision bits to float32, through a table made at first use. */
export function float16ToFloat32(bits: Uint16Array, into: Float32Array = new Float32Array(bits.length)): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, index) => fromFloat16Bits(index));
  for (let index = 0; index < bits.length; index++) into[index] = halfTable[bits[index]!]!;
  return into;
}

/** bfloat16 bits to float32: the upper half of each word. */
export function bfloat16ToFloat32(bits: Uint16Array, into: Float32Array = new Float32Array(bits.length)): Float32Array {
  const words = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let index = 0; index < bits.length; index++) words[index] = bits[index]! << 16;
  return into;
}

/** float32 to half-precision bits. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) bits[index] = toFloat16Bits(values[index]!);
  return bits;
}

/** float32 to bfloat16 bits. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = words[index]!;
    bits[index] = (value & 0x7fffffff) > 0x7f800000 ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return bits;
}

/** Rounds to the nearest integer, ties to the even one, as IEEE arithmetic and NumPy do. `Math.round` rounds ties up. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
