/** Element types of tensors, named as ONNX and NumPy name them. Sub-byte types are stored two to a byte, first element in the low nibble. */
export type DType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'int4'
  | 'uint64'
  | 'uint32'
  | 'uint16'
  | 'uint8'
  | 'uint4'
  | 'bool';

/**
 * Storage of a tensor's elements on the host. `float16` and `bfloat16` hold their 16 raw bits in a `Uint16Array`, `bool` one byte of 0 or 1
 * per element, `int4` and `uint4` packed bytes in a `Uint8Array`.
 */
export type TypedArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

const bits: Readonly<Record<DType, number>> = {
  float64: 64,
  float32: 32,
  float16: 16,
  bfloat16: 16,
  int64: 64,
  int32: 32,
  int16: 16,
  int8: 8,
  int4: 4,
  uint64: 64,
  uint32: 32,
  uint16: 16,
  uint8: 8,
  uint4: 4,
  bool: 8,
};

/** Every element type, widest floats first. */
export const dtypes: readonly DType[] = Object.keys(bits) as DType[];

/** Bits one element occupies in storage. */
export function dtypeBits(dtype: DType): number {
  return bits[dtype];
}

/** Bytes that `count` elements occupy; sub-byte types round up to a whole byte. */
export function dtypeBytes(dtype: DType, count: number): number {
  return Math.ceil((bits[dtype] * count) / 8);
}

type ArrayConstructor = new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => TypedArray;

const arrays: Readonly<Record<DType, ArrayConstructor>> = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  int4: Uint8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  uint4: Uint8Array,
  bool: Uint8Array,
};

/** A view of `buffer` as the storage array of `dtype`; copies only when the offset is not aligned to the element size. */
export function viewAs(dtype: DType, buffer: ArrayBufferLike, byteOffset: number, count: number): TypedArray {
  const length = bits[dtype] < 8 ? dtypeBytes(dtype, count) : count;
  const size = Math.max(1, bits[dtype] / 8);
  if (byteOffset % size === 0) return new arrays[dtype](buffer, byteOffset, length);
  return new arrays[dtype](buffer.slice(byteOffset, byteOffset + length * size), 0, length);
}

/** A zero-filled storage array for `count` elements of `dtype`. */
export function allocateArray(dtype: DType, count: number): TypedArray {
  return viewAs(dtype, new ArrayBuffer(dtypeBytes(dtype, count)), 0, count);
}
