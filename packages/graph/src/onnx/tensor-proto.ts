import { allocateArray, dtypeBytes, elementCount, viewAs, type DType, type HostTensor } from '@pare/core';
import { dtypeOfOnnxCode, onnxTypeName } from '../types/element-type.js';
import type { TensorProto } from './onnx.gen.js';

/** How the caller reports a problem of a tensor. */
export type Fail = (problem: string) => never;

/** Type and shape of a tensor message, checked. */
export function tensorType(tensor: TensorProto, fail: Fail): { dtype: DType; shape: number[] } {
  const dtype = dtypeOfOnnxCode(tensor.dataType) ?? fail(`it holds ${onnxTypeName(tensor.dataType)}, which is not supported`);
  const shape = tensor.dims.map(Number);
  if (!shape.every((size) => size >= 0) || !Number.isSafeInteger(elementCount(shape))) fail(`its shape is [${shape.join(', ')}]`);
  return { dtype, shape };
}

/** The tensor of a message that holds its own data; raw data is viewed where its alignment allows. */
export function decodeTensor(tensor: TensorProto, fail: Fail): HostTensor {
  const { dtype, shape } = tensorType(tensor, fail);
  const count = elementCount(shape);
  const expected = dtypeBytes(dtype, count);
  const raw = tensor.rawData;
  if (raw.byteLength > 0) {
    if (raw.byteLength !== expected) fail(`it has ${String(raw.byteLength)} bytes of data, its shape [${shape.join(', ')}] needs ${String(expected)}`);
    return { dtype, shape, data: viewAs(dtype, raw.buffer, raw.byteOffset, count) };
  }
  const values = typedValues(tensor, dtype);
  const needed = dtype === 'int4' || dtype === 'uint4' ? expected : count;
  if (values.length !== needed) fail(`it has ${String(values.length)} elements of data, its shape [${shape.join(', ')}] needs ${String(needed)}`);
  const data = allocateArray(dtype, count);
  // Narrow types are stored in int32 as their bits or values; typed arrays keep the low bits of either.
  for (let index = 0; index < needed; index++) data[index] = values[index]!;
  return { dtype, shape, data };
}

/** The repeated field that holds a type's elements when there is no raw data. */
function typedValues(tensor: TensorProto, dtype: DType): ArrayLike<number | bigint> {
  switch (dtype) {
    case 'float32':
      return tensor.floatData;
    case 'float64':
      return tensor.doubleData;
    case 'int64':
      return tensor.int64Data;
    case 'uint64':
      return tensor.uint64Data;
    case 'uint32':
      return tensor.uint64Data.map(Number);
    default:
      return tensor.int32Data;
  }
}

/** Where an external tensor's data lies. The location is a relative path with `/` that stays in the model's folder. */
export function externalPlace(tensor: TensorProto, fail: Fail): { location: string; offset: number; length: number } {
  const entries = new Map(tensor.externalData.map((entry) => [entry.key, entry.value]));
  const location = entries.get('location') ?? fail('it names no external data file');
  if (!isInsideFolder(location)) fail(`its data lies in "${location}"; a relative path inside the model's folder is allowed`);
  const { dtype, shape } = tensorType(tensor, fail);
  const expected = dtypeBytes(dtype, elementCount(shape));
  const offset = wholeNumber(entries.get('offset') ?? '0', 'offset', fail);
  const length = wholeNumber(entries.get('length') ?? String(expected), 'length', fail);
  if (length !== expected) fail(`it has ${String(length)} bytes of external data, its shape [${shape.join(', ')}] needs ${String(expected)}`);
  return { location, offset, length };
}

function wholeNumber(text: string, name: string, fail: Fail): number {
  const value = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(value) ? value : fail(`the ${name} of its external data is "${text}"`);
}

/** False for absolute paths, drive letters, backslashes, and paths with `..`. */
export function isInsideFolder(location: string): boolean {
  if (location === '' || location.startsWith('/') || /[\\\0]/.test(location) || /^[A-Za-z]:/.test(location)) return false;
  return !location.split('/').includes('..');
}
