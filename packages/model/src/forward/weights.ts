import { bfloat16ToFloat32, float16ToFloat32, float32Tensor, type HostTensor, type Model } from '@pare/core';
import { denseFloat32 } from '@pare/weights';

type Float32HostTensor = HostTensor & { readonly data: Float32Array };

/** A stored tensor of any floating type as float32, in its stored shape. */
export async function tensorFloat32(model: Model, name: string): Promise<Float32HostTensor> {
  const tensor = await model.tensor(name);
  return float32Tensor(tensor.shape, denseFloat32({ form: 'dense', shape: tensor.shape, tensor }));
}

/** A module's matrix [out, in] in the type it is stored in, or in float32 when it is held compressed. */
export async function storedMatrix(model: Model, module: string): Promise<HostTensor> {
  const info = model.modules.find(({ name }) => name === module);
  return info === undefined || info.form === 'dense' ? model.tensor(`${module}.weight`) : model.denseWeight(module);
}

/** Rows `first` … `first + count − 1` of a matrix [rows, width] of any floating type, written as float32 to the start of `into`. Only these are converted. */
export function copyRows(matrix: HostTensor, first: number, count: number, into: Float32Array): void {
  const width = matrix.shape[1]!;
  const data = matrix.data.subarray(first * width, (first + count) * width);
  const target = into.subarray(0, count * width);
  if (matrix.dtype === 'bfloat16') bfloat16ToFloat32(data as Uint16Array, target);
  else if (matrix.dtype === 'float16') float16ToFloat32(data as Uint16Array, target);
  else target.set(denseFloat32({ form: 'dense', shape: [count, width], tensor: { dtype: matrix.dtype, shape: [count, width], data } }));
}
