import { float32ToBfloat16, float32ToFloat16, hostTensor, type DType, type HostTensor, type LinearLayout, type TypedArray } from '@pare/core';

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

/** [rows, columns] row-major to [columns, rows], in tiles that stay in cache. */
export function transposeArray<T extends TypedArray>(source: T, rows: number, columns: number): T {
  const target = source.slice() as T;
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) target[column * rows + row] = source[row * columns + column]!;
    }
  }
  return target;
}

/** Float32 weights [out, in] as a tensor of the given type in the layout they are stored in. */
export function toStored(values: Float32Array, shape: readonly [number, number], dtype: DType, layout: LinearLayout): HostTensor {
  const tensor = hostTensor(dtype, shape, fromFloat32(values, dtype));
  return layout === 'in-out' ? transpose(tensor) : tensor;
}
