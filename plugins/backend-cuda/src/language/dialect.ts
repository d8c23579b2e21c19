import type { DType } from '@pare/core';
import type { BinaryOperator, Dialect, Expression, Reduction, ScalarType, UnaryOperator } from '@pare/executor';

/* Expressions in CUDA C++. Functions are those of prelude.cu, overloaded by type. */

const typeNames: Readonly<Record<ScalarType, string>> = { f32: 'float', i32: 'int', u32: 'u32', bool: 'bool', i64: 'i64', u64: 'u64' };

/** C++'s name of a scalar type. */
export function typeName(type: ScalarType): string {
  return typeNames[type];
}

const storageTypes: Readonly<Record<DType, string>> = {
  ...{ float64: 'u64', float32: 'float', float16: 'u16', bfloat16: 'u16', bool: 'u8' },
  ...{ int64: 'i64', int32: 'int', int16: 'i16', int8: 'i8', int4: 'u8' },
  ...{ uint64: 'u64', uint32: 'u32', uint16: 'u16', uint8: 'u8', uint4: 'u8' },
};

/** The type that a buffer's elements are stored in; elements of 4 bits share bytes. */
export function storageType(dtype: DType): string {
  return storageTypes[dtype];
}

/** What is stored for a value. Four bits are left to whoever fills the byte. */
export function storedText(dtype: DType, value: string): string {
  switch (dtype) {
    case 'float16':
      return `halfFromF32(${value})`;
    case 'bfloat16':
      return `brainFromF32(${value})`;
    default:
      return `(${storageType(dtype)})(${value})`;
  }
}

function literal(type: ScalarType, value: number | bigint): string {
  switch (type) {
    case 'bool':
      return Number(value) === 0 ? 'false' : 'true';
    case 'i32':
      return Number(value) === -2147483648 ? '(-2147483647 - 1)' : `(${String(value)})`;
    case 'u32':
      return `${String(value)}u`;
    case 'i64':
      return `(i64)${String(BigInt.asUintN(64, BigInt(value)))}ull`;
    case 'u64':
      return `${String(BigInt.asUintN(64, BigInt(value)))}ull`;
    case 'f32':
      return floatText(Number(value));
  }
}

/** By their bits, so that no compiler rounds anew. */
function floatText(value: number): string {
  const rounded = Math.fround(value);
  if (Number.isNaN(rounded)) return 'notANumber()';
  if (Number.isInteger(rounded) && Math.abs(rounded) < 2 ** 24 && !Object.is(rounded, -0)) return `(${rounded.toFixed(1)}f)`;
  const bits = new Uint32Array(Float32Array.of(rounded).buffer)[0]!;
  return `__uint_as_float(0x${bits.toString(16)}u)`;
}

const unaryFunctions: Readonly<Record<UnaryOperator, string>> = {
  ...{ abs: 'absolute', negate: 'negate', sqrt: 'sqrtf', exp: 'expf', log: 'logf', sin: 'sinf', cos: 'cosf', tanh: 'tanhf', sigmoid: 'sigmoid', erf: 'erff' },
  ...{ sign: 'sign', round: 'rintf', floor: 'floorf', 'is-nan': 'isNan', not: '~', reciprocal: '1.0f / ' },
};

function unary(operator: UnaryOperator, type: ScalarType, x: string): string {
  if (operator === 'not' && type === 'bool') return `!${x}`;
  return `${unaryFunctions[operator]}(${x})`;
}

const functions: Partial<Record<BinaryOperator, string>> = {
  ...{ add: 'add', subtract: 'subtract', multiply: 'multiply', divide: 'divide', remainder: 'modulo', maximum: 'maximum', minimum: 'minimum', power: 'power' },
  ...{ 'shift-left': 'shiftLeft', 'shift-right': 'shiftRight' },
};
const infix: Partial<Record<BinaryOperator, string>> = { and: '&', or: '|', equal: '==', less: '<', 'less-equal': '<=', xor: '^' };

function binary(operator: BinaryOperator, type: ScalarType, a: string, b: string): string {
  const named = functions[operator];
  if (named !== undefined) return `${named}(${a}, ${b})`;
  if (type === 'bool' && operator === 'xor') return `${a} != ${b}`;
  return `${a} ${infix[operator]!} ${b}`;
}

function convert(from: ScalarType, to: ScalarType, x: string): string {
  if (to === 'bool') return `${x} != 0`;
  if (from === 'f32') return `${to}FromF32(${x})`;
  return `(${typeName(to)})(${x})`;
}

function narrow({ dtype }: Extract<Expression, { kind: 'narrow' }>, x: string): string {
  switch (dtype) {
    case 'float16':
      return `f32FromHalf(halfFromF32(${x}))`;
    case 'bfloat16':
      return `f32FromBrain(brainFromF32(${x}))`;
    case 'int4':
      return `((int)((u32)${x} << 28)) >> 28`;
    case 'uint4':
      return `${x} & 15u`;
    case 'int16':
    case 'int8':
      return `(int)(${storageType(dtype)})${x}`;
    case 'uint16':
    case 'uint8':
      return `(u32)(${storageType(dtype)})${x}`;
    default:
      return x;
  }
}

const limits: Readonly<Record<'maximum' | 'minimum', Readonly<Record<ScalarType, string>>>> = {
  maximum: { f32: '-infinity()', i32: '(-2147483647 - 1)', u32: '0u', bool: 'false', i64: '(i64)0x8000000000000000ull', u64: '0ull' },
  minimum: { f32: 'infinity()', i32: '2147483647', u32: '0xffffffffu', bool: 'true', i64: '0x7fffffffffffffffll', u64: '0xffffffffffffffffull' },
};

function neutral(reduction: Reduction, type: ScalarType): string {
  if (reduction === 'sum' || reduction === 'product') return literal(type, reduction === 'sum' ? 0 : 1);
  return limits[reduction][type];
}

const combining: Readonly<Record<Reduction, string>> = { sum: 'add', product: 'multiply', maximum: 'maximum', minimum: 'minimum' };

function load(name: string, dtype: DType, at: string, last: () => string): string {
  const index = `within(${at}, ${last()})`;
  switch (dtype) {
    case 'float16':
      return `f32FromHalf(${name}[${index}])`;
    case 'bfloat16':
      return `f32FromBrain(${name}[${index}])`;
    case 'bool':
      return `${name}[${index}] != 0`;
    case 'int4':
      return `signedNibble(${name}, ${index})`;
    case 'uint4':
      return `(u32)nibble(${name}, ${index})`;
    default:
      return `${name}[${index}]`;
  }
}

/** How CUDA C++ writes expressions. */
export const dialect: Dialect = {
  literal,
  unary,
  binary,
  select: (condition, a, b) => `${condition} ? ${a} : ${b}`,
  convert,
  narrow,
  neutral,
  combine: (reduction, _type, a, b) => `${combining[reduction]}(${a}, ${b})`,
  load,
  uniform: (slot, type) => (type === 'f32' ? `__uint_as_float(uniforms[${String(slot)}])` : `(int)uniforms[${String(slot)}]`),
  value: (name, type, text) => `const ${typeName(type)} ${name} = ${text};`,
  variable: (name, type, text) => `${typeName(type)} ${name} = ${text};`,
  loop: (counter, start, end, step) => `for (int ${counter} = ${start}; ${counter} < ${end}; ${counter} += ${step}) {`,
};
