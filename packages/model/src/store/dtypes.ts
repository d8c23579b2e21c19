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

/** Types that Pare holds as raw bytes: it computes with no such elements, but they may be codes of weights. */
const byteTypes = ['F8_E4M3'] as const;

/** A type that is held as raw bytes, by its name in the header. */
export type ByteType = (typeof byteTypes)[number];

const names = new Map(Object.entries(types).map(([name, dtype]) => [dtype, name]));

/** The type names a header may use. Others (further 8-bit floats, complex numbers, sub-byte types) are refused by name. */
export const safetensorsTypes: readonly string[] = [...Object.keys(types), ...byteTypes];

/** A header's type name as one that is held as raw bytes, or undefined. */
export function byteTypeOf(name: string): ByteType | undefined {
  return byteTypes.find((type) => type === name);
}

/** The element type that holds what a header's type name stands for, or undefined. */
export function dtypeOfSafetensors(name: string): DType | undefined {
  if (byteTypeOf(name) !== undefined) return 'uint8';
  return Object.hasOwn(types, name) ? types[name] : undefined;
}

/** The header's name of an element type. @throws RangeError for types that safetensors cannot hold (int4, uint4). */
export function safetensorsOfDtype(dtype: DType): string {
  const name = names.get(dtype);
  if (name === undefined) throw new RangeError(`safetensors has no type for ${dtype}; pack it into uint8 or int32`);
  return name;
}
