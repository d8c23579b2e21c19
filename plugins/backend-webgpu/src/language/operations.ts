import type { BinaryOperator, Expression, Reduction, ScalarType, UnaryOperator } from '@pare/executor';

/* The scalar operations of generated kernels in WGSL. 64-bit integers are vec2u; functions are those of prelude.wgsl. */

/** WGSL's name of a scalar type. */
export function typeName(type: ScalarType): string {
  return type === 'i64' || type === 'u64' ? 'vec2u' : type;
}

const isWide = (type: ScalarType): boolean => type === 'i64' || type === 'u64';

/** A literal. Values that WGSL constants must not have are made at run time. */
export function literalText(type: ScalarType, value: number | bigint): string {
  switch (type) {
    case 'bool':
      return Number(value) === 0 ? 'false' : 'true';
    case 'i32':
      return Number(value) === -2147483648 ? '(-2147483647 - 1)' : `i32(${String(value)})`;
    case 'u32':
      return `${String(value)}u`;
    case 'i64':
    case 'u64': {
      const bits = BigInt.asUintN(64, BigInt(value));
      return `vec2u(${String(bits & 0xffffffffn)}u, ${String(bits >> 32n)}u)`;
    }
    case 'f32':
      return floatText(Number(value));
  }
}

function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan()';
  const rounded = Math.fround(value);
  if (rounded === Infinity) return 'infinity()';
  if (rounded === -Infinity) return '(-infinity())';
  if (Object.is(rounded, -0)) return '(-0.0f)';
  // Numbers below the normal range may not be written as constants everywhere.
  return `f32(${rounded.toPrecision(9)})`;
}

export function unaryText(operator: UnaryOperator, type: ScalarType, x: string): string {
  const suffix = type.toUpperCase();
  switch (operator) {
    case 'abs':
      return type === 'i64' ? `wideAbsolute(${x})` : type === 'u64' ? x : `abs(${x})`;
    case 'negate':
      return isWide(type) ? `wideNegate(${x})` : `-${x}`;
    case 'sign':
      return type === 'i64' ? `wideSign(${x})` : type === 'f32' ? `signF32(${x})` : type === 'u32' ? `min(${x}, 1u)` : type === 'u64' ? `select(vec2u(), vec2u(1u, 0u), any(${x} != vec2u()))` : `sign(${x})`;
    case 'reciprocal':
      return `1.0 / ${x}`;
    case 'tanh':
    case 'sigmoid':
    case 'erf':
    case 'exp':
    case 'log':
    case 'sqrt':
    case 'sin':
    case 'cos':
      return `${operator}${suffix}(${x})`;
    case 'not':
      return type === 'bool' ? `!${x}` : `~${x}`;
    case 'is-nan':
      return `isNan(${x})`;
    default:
      return `${operator}(${x})`;
  }
}

const infix: Partial<Record<BinaryOperator, string>> = { add: '+', subtract: '-', multiply: '*', and: '&', or: '|', xor: '^', equal: '==', less: '<', 'less-equal': '<=' };

const wideFunctions: Partial<Record<BinaryOperator, string>> = { add: 'wideAdd', subtract: 'wideSubtract', multiply: 'wideMultiply', equal: 'wideEqual' };

export function binaryText(operator: BinaryOperator, type: ScalarType, a: string, b: string): string {
  if (isWide(type)) return wideText(operator, type, a, b);
  const suffix = type.toUpperCase();
  switch (operator) {
    case 'divide':
      return type === 'f32' ? `${a} / ${b}` : `divide${suffix}(${a}, ${b})`;
    case 'remainder':
    case 'power':
      return `${operator}${suffix}(${a}, ${b})`;
    case 'maximum':
      return type === 'f32' ? `maximumF32(${a}, ${b})` : `max(${a}, ${b})`;
    case 'minimum':
      return type === 'f32' ? `minimumF32(${a}, ${b})` : `min(${a}, ${b})`;
    case 'shift-left':
      return `${a} << (u32(${b}) & 31u)`;
    case 'shift-right':
      return `${a} >> (u32(${b}) & 31u)`;
    case 'xor':
      return type === 'bool' ? `${a} != ${b}` : `${a} ^ ${b}`;
    default:
      return `${a} ${infix[operator]!} ${b}`;
  }
}

function wideText(operator: BinaryOperator, type: ScalarType, a: string, b: string): string {
  const kind = type === 'i64' ? 'I' : 'U';
  const named = wideFunctions[operator];
  if (named !== undefined) return `${named}(${a}, ${b})`;
  switch (operator) {
    case 'divide':
      return type === 'i64' ? `wideDivideI(${a}, ${b})` : `wideQuotientU(${a}, ${b})`;
    case 'remainder':
      return `wideRemainder${kind}(${a}, ${b})`;
    case 'power':
      return type === 'i64' ? `widePowerI(${a}, ${b})` : `widePower(${a}, ${b})`;
    case 'less':
      return `wideLess${kind}(${a}, ${b})`;
    case 'less-equal':
      return `!wideLess${kind}(${b}, ${a})`;
    case 'maximum':
      return `select(${a}, ${b}, wideLess${kind}(${a}, ${b}))`;
    case 'minimum':
      return `select(${a}, ${b}, wideLess${kind}(${b}, ${a}))`;
    case 'shift-left':
      return `wideShiftLeft(${a}, ${b}.x)`;
    case 'and':
    case 'or':
    case 'xor':
      return `${a} ${infix[operator]!} ${b}`;
    default:
      throw new Error(`${operator} of 64-bit integers has no WGSL form`);
  }
}

export function convertText(from: ScalarType, to: ScalarType, x: string): string {
  switch (to) {
    case 'bool':
      return isWide(from) ? `any(${x} != vec2u())` : from === 'f32' ? `${x} != 0.0` : `${x} != ${from}(0)`;
    case 'f32':
      if (from === 'i64') return `f32FromWideI(${x})`;
      if (from === 'u64') return `f32FromWideU(${x})`;
      return `f32(${x})`;
    case 'i32':
      if (isWide(from)) return `bitcast<i32>(${x}.x)`;
      if (from === 'f32') return `i32FromF32(${x})`;
      return from === 'u32' ? `bitcast<i32>(${x})` : `i32(${x})`;
    case 'u32':
      if (isWide(from)) return `${x}.x`;
      if (from === 'f32') return `u32FromF32(${x})`;
      return from === 'i32' ? `bitcast<u32>(${x})` : `u32(${x})`;
    default:
      if (isWide(from)) return x;
      if (from === 'f32') return `wideFromF32(${x})`;
      return from === 'i32' ? `wideFromI32(${x})` : `wideFromU32(u32(${x}))`;
  }
}

/** The value after storage in a narrow type. */
export function narrowText(expression: Extract<Expression, { kind: 'narrow' }>, x: string): string {
  switch (expression.dtype) {
    case 'float16':
      return `f32FromHalf(halfFromF32(${x}))`;
    case 'bfloat16':
      return `f32FromBrain(brainFromF32(${x}))`;
    case 'int16':
      return `(${x} << 16u) >> 16u`;
    case 'int8':
      return `(${x} << 24u) >> 24u`;
    case 'int4':
      return `(${x} << 28u) >> 28u`;
    case 'uint16':
      return `${x} & 0xffffu`;
    case 'uint8':
      return `${x} & 0xffu`;
    case 'uint4':
      return `${x} & 15u`;
    default:
      return x;
  }
}

/** The element that changes nothing under a reduction. */
export function neutralText(reduction: Reduction, type: ScalarType): string {
  switch (reduction) {
    case 'sum':
      return literalText(type, 0);
    case 'product':
      return literalText(type, 1);
    case 'maximum':
      return { f32: '-infinity()', i32: '(-2147483647 - 1)', u32: '0u', bool: 'false', i64: 'vec2u(0u, 0x80000000u)', u64: 'vec2u()' }[type];
    case 'minimum':
      return { f32: 'infinity()', i32: '2147483647', u32: '0xffffffffu', bool: 'true', i64: 'vec2u(0xffffffffu, 0x7fffffffu)', u64: 'vec2u(0xffffffffu, 0xffffffffu)' }[type];
  }
}

const combining: Record<Reduction, BinaryOperator> = { sum: 'add', product: 'multiply', maximum: 'maximum', minimum: 'minimum' };

export function combineText(reduction: Reduction, type: ScalarType, a: string, b: string): string {
  return binaryText(combining[reduction], type, a, b);
}
