import {
  bfloat16ToFloat32,
  dtypeBits,
  elementCount,
  float16ToFloat32,
  hostTensor,
  toBfloat16Bits,
  toFloat16Bits,
  viewAs,
  type DType,
  type HostTensor,
} from '@pare/core';

/* How kernels see tensors. Arithmetic works on `numbers` (16-bit floats widened, 4-bit integers unpacked) or, for 64-bit integers, on
   `bigints`; code that only moves elements works on `elements`, which never looks at their values. */

/** Elements as ordinary numbers, one array entry each. */
export type Numbers = Float64Array | Float32Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;

/** Elements of 64-bit integers. Storing into these arrays wraps modulo 2^64. */
export type Bigints = BigInt64Array | BigUint64Array;

const floats: readonly DType[] = ['float64', 'float32', 'float16', 'bfloat16'];

export function isFloat(dtype: DType): boolean {
  return floats.includes(dtype);
}

/** True for the types whose arithmetic needs BigInt. */
export function isBig(dtype: DType): boolean {
  return dtype === 'int64' || dtype === 'uint64';
}

/** Two 4-bit elements to a byte, the first in the low nibble. */
function unpackNibbles(bytes: Uint8Array, count: number): Uint8Array {
  const nibbles = new Uint8Array(count);
  for (let index = 0; index < count; index++) nibbles[index] = (bytes[index >> 1]! >> ((index & 1) * 4)) & 15;
  return nibbles;
}

function packNibbles(nibbles: Numbers): Uint8Array {
  const bytes = new Uint8Array((nibbles.length + 1) >> 1);
  for (let index = 0; index < nibbles.length; index++) bytes[index >> 1]! |= (nibbles[index]! & 15) << ((index & 1) * 4);
  return bytes;
}

/**
 * The elements as numbers: the tensor's own array where it already holds them, a fresh one otherwise. Treat it as read-only.
 * 64-bit integers become doubles, exact up to 2^53.
 */
export function numbers(tensor: HostTensor): Numbers {
  switch (tensor.dtype) {
    case 'float16':
      return float16ToFloat32(tensor.data as Uint16Array);
    case 'bfloat16':
      return bfloat16ToFloat32(tensor.data as Uint16Array);
    case 'uint4':
      return unpackNibbles(tensor.data as Uint8Array, elementCount(tensor.shape));
    case 'int4': {
      const codes = new Int8Array(unpackNibbles(tensor.data as Uint8Array, elementCount(tensor.shape)));
      for (let index = 0; index < codes.length; index++) codes[index] = (codes[index]! << 28) >> 28;
      return codes;
    }
    case 'int64':
    case 'uint64': {
      const data = tensor.data as Bigints;
      const values = new Float64Array(data.length);
      for (let index = 0; index < data.length; index++) values[index] = Number(data[index]!);
      return values;
    }
    default:
      return tensor.data as Numbers;
  }
}

/** The elements of an integer tensor as BigInt. */
export function bigints(tensor: HostTensor): Bigints {
  if (isBig(tensor.dtype)) return tensor.data as Bigints;
  const values = numbers(tensor);
  const wide = new BigInt64Array(values.length);
  for (let index = 0; index < values.length; index++) wide[index] = BigInt(Math.trunc(values[index]!));
  return wide;
}

/** A fresh array for results of a type, to be handed to `fromNumbers`. Integer arrays wrap as two's complement does. */
export function allocateNumbers(dtype: DType, count: number): Numbers {
  switch (dtype) {
    case 'float64':
    case 'int64':
    case 'uint64':
      return new Float64Array(count);
    case 'float32':
    case 'float16':
    case 'bfloat16':
      return new Float32Array(count);
    case 'int32':
      return new Int32Array(count);
    case 'uint32':
      return new Uint32Array(count);
    case 'int16':
      return new Int16Array(count);
    case 'uint16':
      return new Uint16Array(count);
    case 'int8':
    case 'int4':
      return new Int8Array(count);
    default:
      return new Uint8Array(count);
  }
}

/** A tensor of `dtype` from numbers: floats are rounded to the type (ties to even), integers truncated and wrapped, `bool` is 0 or 1. */
export function fromNumbers(dtype: DType, shape: readonly number[], values: Numbers): HostTensor {
  switch (dtype) {
    case 'float16': {
      const bits = new Uint16Array(values.length);
      for (let index = 0; index < values.length; index++) bits[index] = toFloat16Bits(values[index]!);
      return hostTensor(dtype, shape, bits);
    }
    case 'bfloat16': {
      const bits = new Uint16Array(values.length);
      for (let index = 0; index < values.length; index++) bits[index] = toBfloat16Bits(values[index]!);
      return hostTensor(dtype, shape, bits);
    }
    case 'int64':
    case 'uint64': {
      const wide = dtype === 'int64' ? new BigInt64Array(values.length) : new BigUint64Array(values.length);
      for (let index = 0; index < values.length; index++) wide[index] = toBigint(values[index]!, dtype === 'int64');
      return hostTensor(dtype, shape, wide);
    }
    case 'int4':
    case 'uint4':
      return hostTensor(dtype, shape, packNibbles(values));
    case 'bool': {
      const flags = new Uint8Array(values.length);
      for (let index = 0; index < values.length; index++) flags[index] = values[index] === 0 ? 0 : 1;
      return hostTensor(dtype, shape, flags);
    }
    default: {
      const wanted = allocateNumbers(dtype, 0).constructor as new (values: Numbers) => Numbers;
      return hostTensor(dtype, shape, values.constructor === wanted ? values : new wanted(values));
    }
  }
}

/** A tensor of a 64-bit integer type. */
export function fromBigints(dtype: DType, shape: readonly number[], values: Bigints): HostTensor {
  if (dtype === 'int64')
    return hostTensor(dtype, shape, values instanceof BigInt64Array ? values : new BigInt64Array(values.buffer, values.byteOffset, values.length));
  return hostTensor(dtype, shape, values instanceof BigUint64Array ? values : new BigUint64Array(values.buffer, values.byteOffset, values.length));
}

/** Truncates toward zero; NaN becomes 0 and what lies beyond the type the end of its range. Negative numbers wrap in an unsigned type. */
function toBigint(value: number, signed: boolean): bigint {
  if (Number.isNaN(value)) return 0n;
  if (value >= (signed ? 2 ** 63 : 2 ** 64)) return signed ? 2n ** 63n - 1n : 2n ** 64n - 1n;
  return BigInt(Math.trunc(Math.max(value, -(2 ** 63))));
}

/**
 * Elements as opaque words of their own size, for code that moves them: NaN payloads and 64-bit integers survive, and every type is one of
 * four arrays. Typed as one of the four because such code never looks at a value; 64-bit words are BigInts at run time.
 */
export type Elements = Uint32Array;

function wordArray(dtype: DType): new (source: number | ArrayBufferLike, byteOffset?: number, length?: number) => Elements {
  const size = dtypeBits(dtype);
  const array = size <= 8 ? Uint8Array : size === 16 ? Uint16Array : size === 32 ? Uint32Array : BigUint64Array;
  return array as unknown as new (source: number | ArrayBufferLike, byteOffset?: number, length?: number) => Elements;
}

/** The elements as opaque words; a view of the tensor's storage except for 4-bit types. Read-only. */
export function elements(tensor: HostTensor): Elements {
  if (dtypeBits(tensor.dtype) < 8) return unpackNibbles(tensor.data as Uint8Array, elementCount(tensor.shape)) as unknown as Elements;
  return new (wordArray(tensor.dtype))(tensor.data.buffer, tensor.data.byteOffset, tensor.data.length);
}

/** Zeroed words for `count` elements. */
export function allocateElements(dtype: DType, count: number): Elements {
  return new (wordArray(dtype))(count);
}

/** A tensor from opaque words. */
export function fromElements(dtype: DType, shape: readonly number[], words: Elements): HostTensor {
  if (dtypeBits(dtype) < 8) return hostTensor(dtype, shape, packNibbles(words));
  return hostTensor(dtype, shape, viewAs(dtype, words.buffer, words.byteOffset, words.length));
}

/** The elements whose positions `index` lists, as a tensor of `shape`. */
export function takeElements(tensor: HostTensor, index: Int32Array, shape: readonly number[]): HostTensor {
  const source = elements(tensor);
  const result = allocateElements(tensor.dtype, index.length);
  for (let position = 0; position < index.length; position++) result[position] = source[index[position]!]!;
  return fromElements(tensor.dtype, shape, result);
}

/** Smallest and largest value of an integer type of at most 32 bits, or the infinities of a float. */
export function dtypeRange(dtype: DType): readonly [number, number] {
  if (isFloat(dtype)) return [-Infinity, Infinity];
  if (dtype === 'bool') return [0, 1];
  const size = dtypeBits(dtype);
  return dtype.startsWith('u') ? [0, 2 ** size - 1] : [-(2 ** (size - 1)), 2 ** (size - 1) - 1];
}

/** Clips an integer to its type's range; NaN becomes the lower end. */
export function saturate(value: number, low: number, high: number): number {
  return value > high ? high : value >= low ? value : low;
}
