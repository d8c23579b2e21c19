import type { DType } from '@pare/core';

/** Element types of safetensors files that Pare reads and writes, by their name in the header. */
const types: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
};

const names = new Map(Object.entries(types).map(([name, dtype]) => [dtype, name]));

/** The type names a header may use. Others (8-bit floats, complex numbers, sub-byte types) are refused by name. */
export const safetensorsTypes: readonly string[] = Object.keys(types);

/** The element type behind a header's type name, or undefined. */
export function dtypeOfSafetensors(name: string): DType | undefined {
  return Object.hasOwn(types, name) ? types[name] : undefined;
}

/** The header's name of an element type. @throws RangeError for types that safetensors cannot hold (int4, uint4). */
export function safetensorsOfDtype(dtype: DType): string {
  const name = names.get(dtype);
  if (name === undefined) throw new RangeError(`safetensors has no type for ${dtype}; pack it into uint8 or int32`);
  return name;
}
