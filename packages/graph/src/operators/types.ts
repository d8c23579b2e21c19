import type { DType } from '@pare/core';

/* Sets of element types that operators are restricted to. */
export const floats: readonly DType[] = ['float16', 'float32', 'float64', 'bfloat16'];
export const signedIntegers: readonly DType[] = ['int8', 'int16', 'int32', 'int64'];
export const unsignedIntegers: readonly DType[] = ['uint8', 'uint16', 'uint32', 'uint64'];
export const nibbles: readonly DType[] = ['int4', 'uint4'];
export const signed: readonly DType[] = [...floats, ...signedIntegers];
export const integers: readonly DType[] = [...signedIntegers, ...unsignedIntegers];
export const numeric: readonly DType[] = [...floats, ...integers];
export const indices: readonly DType[] = ['int32', 'int64'];
export const boolean: readonly DType[] = ['bool'];
/** Everything but the packed 4-bit types. */
export const wholeBytes: readonly DType[] = [...numeric, 'bool'];
export const everything: readonly DType[] = [...wholeBytes, ...nibbles];
