import type { DType, TypedArray } from '@pare/core';

/*
 * onnxruntime's Node binding cannot pass bfloat16 and 4-bit tensors (asking it for a 4-bit output ends the process). Their tensors keep
 * their own storage in the worker, and cross into a session as a wider type that holds every value exactly; the graph casts.
 */

/** The type that stands in for `dtype` where tensors enter and leave a session; `dtype` itself for most. */
export function boundaryType(dtype: DType): DType {
  if (dtype === 'bfloat16') return 'float32';
  if (dtype === 'int4') return 'int8';
  if (dtype === 'uint4') return 'uint8';
  return dtype;
}

/** The elements of a tensor whose type has a stand-in, as that type. */
export function widen(dtype: DType, data: TypedArray, count: number): TypedArray {
  if (dtype === 'bfloat16') {
    const words = new Uint32Array(count);
    const bits = data as Uint16Array;
    for (let index = 0; index < count; index++) words[index] = bits[index]! << 16;
    return new Float32Array(words.buffer);
  }
  const bytes = data as Uint8Array;
  const values = dtype === 'int4' ? new Int8Array(count) : new Uint8Array(count);
  for (let index = 0; index < count; index++) {
    const nibble = (bytes[index >> 1]! >> (4 * (index & 1))) & 15;
    values[index] = dtype === 'int4' ? (nibble << 28) >> 28 : nibble;
  }
  return values;
}

/** The inverse of `widen`. The values come from a cast to `dtype`, so nothing is rounded. */
export function narrow(dtype: DType, values: TypedArray): ArrayBuffer {
  if (dtype === 'bfloat16') {
    const reals = values as Float32Array;
    const words = new Uint32Array(reals.buffer, reals.byteOffset, reals.length);
    const bits = new Uint16Array(reals.length);
    for (let index = 0; index < words.length; index++) bits[index] = words[index]! >>> 16;
    return bits.buffer;
  }
  const integers = values as Int8Array | Uint8Array;
  const bytes = new Uint8Array(Math.ceil(integers.length / 2));
  for (let index = 0; index < integers.length; index++) bytes[index >> 1]! |= (integers[index]! & 15) << (4 * (index & 1));
  return bytes.buffer;
}
