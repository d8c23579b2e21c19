import { float32ToBfloat16, float32ToFloat16, hostTensor, type DType, type HostTensor, type LinearLayout, type TypedArray } from '@pare/core';
import { transposeArray } from '@pare/weights';

/** Float32 values in another float type, rounded to nearest even. @throws RangeError for types of integers */
export function fromFloat32(values: Float32Array, dtype: DType): TypedArray {
  switch (dtype) {
    case 'float32':
      return values;
    case 'float16':
      return float32ToFloat16(values);
    case 'bfloat16':
      return float32ToBfloat16(values);
    case 'float64':
      return Float64Array.from(values);
    default:
      throw new RangeError(`weights of ${dtype}`);
  }
}

/** A matrix [rows, columns] as [columns, rows], elements untouched. */
export function transpose(matrix: HostTensor): HostTensor {
  const [rows, columns] = matrix.shape as [number, number];
  return hostTensor(matrix.dtype, [columns, rows], transposeArray(matrix.data, rows, columns));
}

/** Float32 weights [out, in] as a tensor of the given type in the layout they are stored in. */
export function toStored(values: Float32Array, shape: readonly [number, number], dtype: DType, layout: LinearLayout): HostTensor {
  const tensor = hostTensor(dtype, shape, fromFloat32(values, dtype));
  return layout === 'in-out' ? transpose(tensor) : tensor;
}
