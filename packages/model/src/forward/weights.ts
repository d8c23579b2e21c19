import { bfloat16ToFloat32, float16ToFloat32, float32Tensor, type HostTensor, type InputQuantization, type Model } from '@pare/core';
import { denseFloat32, inputOf, trainDecoder } from '@pare/weights';

type Float32HostTensor = HostTensor & { readonly data: Float32Array };

/** A stored tensor of any floating type as float32, in its stored shape. */
export async function tensorFloat32(model: Model, name: string): Promise<Float32HostTensor> {
  const tensor = await model.tensor(name);
  return float32Tensor(tensor.shape, denseFloat32({ form: 'dense', shape: tensor.shape, tensor }));
}

/** How a linear layer rounds its inputs; undefined when it does not. The weight is read only where the grid is static. */
export async function inputRounding(model: Model, module: string): Promise<InputQuantization | undefined> {
  const scheme = model.modules.find(({ name }) => name === module)?.input;
  return scheme === undefined || scheme.dynamic ? scheme : inputOf(await model.weight(module));
}

/** A matrix of which single rows are read. */
export interface RowTable {
  /** [rows, width]. */
  readonly shape: readonly [number, number];
  /** Writes rows `first` … `first + count − 1` as float32 to the start of `into`. */
  read(first: number, count: number, into: Float32Array): void;
}

/**
 * Rows of a module's matrix [out, in]. A dense one is held in the type it is stored in and tensor trains as such, and only what is read becomes float32; other compressed forms are
 * multiplied out at once.
 */
export async function moduleRows(model: Model, module: string): Promise<RowTable> {
  const info = model.modules.find(({ name }) => name === module);
  if (info === undefined || info.form === 'dense') return tensorRows(await model.tensor(`${module}.weight`));
  if (info.form !== 'tensor-train') return tensorRows(await model.denseWeight(module));
  const form = await model.weight(module);
  // The summary goes by the plan; a result may have fallen back to another form.
  if (form.form !== 'tensor-train') return tensorRows(await model.denseWeight(module));
  const decoder = trainDecoder(form);
  const width = form.shape[1];
  return {
    shape: form.shape,
    read(first, count, into) {
      for (let row = 0; row < count; row++) decoder.decode(first + row, into.subarray(row * width, (row + 1) * width));
    },
  };
}

/** Rows of a tensor [rows, width] of any floating type. */
export function tensorRows(tensor: HostTensor): RowTable {
  return { shape: [tensor.shape[0]!, tensor.shape[1]!], read: (first, count, into) => copyRows(tensor, first, count, into) };
}

function copyRows(matrix: HostTensor, first: number, count: number, into: Float32Array): void {
  const width = matrix.shape[1]!;
  const data = matrix.data.subarray(first * width, (first + count) * width);
  const target = into.subarray(0, count * width);
  if (matrix.dtype === 'bfloat16') bfloat16ToFloat32(data as Uint16Array, target);
  else if (matrix.dtype === 'float16') float16ToFloat32(data as Uint16Array, target);
  else target.set(denseFloat32({ form: 'dense', shape: [count, width], tensor: { dtype: matrix.dtype, shape: [count, width], data } }));
}
