import { allocateArray, dtypeBytes, type DType, type TypedArray } from './dtype.js';

/** A dense tensor in host memory, row-major. `data.length` is the number of elements (bytes for the sub-byte types). */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return count;
}

/** Bytes of a dense tensor of this type and shape. */
export function tensorBytes(tensor: { readonly dtype: DType; readonly shape: readonly number[] }): number {
  return dtypeBytes(tensor.dtype, elementCount(tensor.shape));
}

/** A host tensor over `data`, or zeros. Throws a RangeError when the array does not have the shape's number of elements. */
export function hostTensor(dtype: DType, shape: readonly number[], data?: TypedArray): HostTensor {
  const count = elementCount(shape);
  const storage = data ?? allocateArray(dtype, count);
  const expected = dtype === 'int4' || dtype === 'uint4' ? dtypeBytes(dtype, count) : count;
  if (storage.length !== expected) {
    throw new RangeError(`a ${dtype} tensor of shape [${shape.join(', ')}] needs ${String(expected)} elements of storage, got ${String(storage.length)}`);
  }
  return { dtype, shape: [...shape], data: storage };
}

/** A float32 host tensor. */
export function float32Tensor(shape: readonly number[], data?: Float32Array | readonly number[]): HostTensor & { readonly data: Float32Array } {
  const storage = data === undefined ? undefined : data instanceof Float32Array ? data : Float32Array.from(data);
  return hostTensor('float32', shape, storage) as HostTensor & { readonly data: Float32Array };
}

/** An int64 host tensor from ordinary numbers. */
export function int64Tensor(shape: readonly number[], data: ArrayLike<number> | BigInt64Array): HostTensor {
  return hostTensor('int64', shape, data instanceof BigInt64Array ? data : BigInt64Array.from(Array.from(data, (value) => BigInt(value))));
}
