import type { DType } from '@pare/core';

/** Codes of ONNX's `TensorProto.DataType` that have a Pare type. */
const codes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
};

const byCode = new Map<number, DType>((Object.keys(codes) as DType[]).map((dtype) => [codes[dtype], dtype]));

const otherNames: Readonly<Record<number, string>> = {
  0: 'undefined',
  8: 'string',
  14: 'complex64',
  15: 'complex128',
  17: 'float8e4m3fn',
  18: 'float8e4m3fnuz',
  19: 'float8e5m2',
  20: 'float8e5m2fnuz',
  23: 'float4e2m1',
  24: 'float8e8m0',
  25: 'uint2',
  26: 'int2',
};

/** The code that ONNX files and the attribute `to` of Cast use for a type. */
export function onnxTypeCode(dtype: DType): number {
  return codes[dtype];
}

/** The type of an ONNX code, or undefined for the types Pare does not compute with (strings, float8, complex). */
export function dtypeOfOnnxCode(code: number): DType | undefined {
  return byCode.get(code);
}

/** A code's name for messages. */
export function onnxTypeName(code: number): string {
  return byCode.get(code) ?? otherNames[code] ?? `type ${String(code)}`;
}
