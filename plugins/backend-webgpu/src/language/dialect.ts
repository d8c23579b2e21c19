import { dtypeBits, type DType } from '@pare/core';
import type { Dialect } from '@pare/executor';
import { binaryText, combineText, convertText, literalText, narrowText, neutralText, typeName, unaryText } from './operations.js';

/** The buffer's element in WGSL: words of packed elements for types of less than 32 bits. */
export function storageType(dtype: DType): string {
  if (dtypeBits(dtype) === 64) return 'vec2u';
  if (dtype === 'float32') return 'f32';
  if (dtype === 'int32') return 'i32';
  return 'u32';
}

/** An element of a buffer, unpacked where words hold several. */
function loadText(name: string, dtype: DType, at: string): string {
  const field = (perWord: number, bits: number): string => `(${name}[${at} >> ${String(Math.log2(perWord))}u] >> (u32(${at} & ${String(perWord - 1)}) * ${String(bits)}u))`;
  switch (dtype) {
    case 'float16':
      return `f32FromHalf(${field(2, 16)} & 0xffffu)`;
    case 'bfloat16':
      return `f32FromBrain(${field(2, 16)} & 0xffffu)`;
    case 'bool':
      return `(${field(4, 8)} & 0xffu) != 0u`;
    case 'uint16':
      return `${field(2, 16)} & 0xffffu`;
    case 'uint8':
      return `${field(4, 8)} & 0xffu`;
    case 'uint4':
      return `${field(8, 4)} & 15u`;
    case 'int16':
      return `bitcast<i32>(${field(2, 16)} << 16u) >> 16u`;
    case 'int8':
      return `bitcast<i32>(${field(4, 8)} << 24u) >> 24u`;
    case 'int4':
      return `bitcast<i32>(${field(8, 4)} << 28u) >> 28u`;
    default:
      return `${name}[${at}]`;
  }
}

/** How WGSL writes expressions. */
export const dialect: Dialect = {
  literal: literalText,
  unary: unaryText,
  binary: binaryText,
  select: (condition, a, b) => `select(${b}, ${a}, ${condition})`,
  convert: convertText,
  narrow: narrowText,
  neutral: neutralText,
  combine: combineText,
  load: loadText,
  uniform: (slot, type) => `bitcast<${type}>(uniforms[${String(slot >> 2)}][${String(slot & 3)}])`,
  value: (name, _type, text) => `let ${name} = ${text};`,
  variable: (name, type, text) => `var ${name}: ${typeName(type)} = ${text};`,
  loop: (counter, start, end, step) => `for (var ${counter} = ${start}; ${counter} < ${end}; ${step === '1' ? `${counter}++` : `${counter} += ${step}`}) {`,
};
