import { float32ToFloat16, pareError, type DType, type LinearLayout, type Model } from '@pare/core';
import { denseFloat32 } from '@pare/weights';

/** A stored tensor of any floating type, in float32. */
export async function readFloat32(model: Model, name: string): Promise<Float32Array> {
  const tensor = await model.tensor(name);
  return denseFloat32({ form: 'dense', shape: tensor.shape, tensor });
}

/** Little-endian bytes of numbers in float32 or float16. @throws PARE_ONNX_FLOAT16_OVERFLOW */
export function floatBytes(values: Float32Array, dtype: DType, name: string): Uint8Array {
  if (dtype !== 'float16') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bits = float32ToFloat16(values);
  const overflow = bits.findIndex((word) => (word & 0x7c00) === 0x7c00);
  if (overflow !== -1) throw pareError('PARE_FLOAT16_OVERFLOW', { tensor: name, index: overflow, value: values[overflow]! });
  return new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength);
}

/** A module's matrix multiplied out, [out, in] or [in, out]. */
export async function denseBytes(model: Model, module: string, dtype: DType, layout: LinearLayout): Promise<Uint8Array> {
  const { data, shape } = await model.denseWeight(module);
  const values = layout === 'out-in' ? data : transpose(data, shape[0]!, shape[1]!);
  return floatBytes(values, dtype, `${module}.weight`);
}

/** [rows, columns] → [columns, rows], in square tiles that stay in the cache. */
export function transpose<T extends Float32Array | Uint8Array>(values: T, rows: number, columns: number): T {
  const result = values.slice() as T;
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    const bottom = Math.min(rows, top + tile);
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(columns, left + tile);
      for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) result[column * rows + row] = values[row * columns + column]!;
    }
  }
  return result;
}
