import type { DType } from '@pare/core';
import { broadcastShapes } from '@pare/operators';
import {
  add,
  and,
  binary,
  convert,
  divide,
  equal,
  less,
  literal,
  multiply,
  narrow,
  not,
  scalarTypeOf,
  select,

  unary,
  wrapped,
  type BinaryOperator,
  type Expression,
  type UnaryOperator,
} from '../expression/expression.js';
import { broadcastTo } from '../expression/coordinates.js';
import { dtypeOfOnnxCode } from '@pare/graph';
import type { LazyTensor } from './lazy-tensor.js';
import { cannotLower, type LoweringCall, type OperatorLowering } from './lowering.js';

/* Operators that treat each element by itself. */

/** The shape that all broadcast to. */
export function broadcastShape(call: LoweringCall, tensors: readonly { readonly shape: readonly number[] }[]): number[] {
  const shapes = tensors.map(({ shape }) => shape);
  return broadcastShapes(shapes) ?? call.fail(`shapes ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' and ')} do not broadcast`);
}

/** Refuses float64, which kernels only move. */
export function computable(tensors: readonly (LazyTensor | undefined)[]): void {
  if (tensors.some((tensor) => tensor?.dtype === 'float64')) cannotLower('kernels do not compute in float64');
}

/** One output element from the elements of all inputs at its place. */
export function elementwise(call: LoweringCall, dtype: DType, inputs: readonly LazyTensor[], formula: (...elements: readonly Expression[]) => Expression): LazyTensor {
  const shape = broadcastShape(call, inputs);
  return call.lowering.fused(call.name, dtype, shape, inputs, (tensors, coordinates) =>
    wrapped(dtype, formula(...tensors.map((tensor) => tensor.at(broadcastTo(tensor.shape, coordinates))))),
  );
}

const unaryOperators: Readonly<Record<string, UnaryOperator>> = {
  Abs: 'abs',
  Neg: 'negate',
  Reciprocal: 'reciprocal',
  Sqrt: 'sqrt',
  Exp: 'exp',
  Log: 'log',
  Sin: 'sin',
  Cos: 'cos',
  Tanh: 'tanh',
  Sigmoid: 'sigmoid',
  Erf: 'erf',
  Sign: 'sign',
  Round: 'round',
};

const f32 = (value: number): Expression => literal('f32', value);

const unaryLowering: OperatorLowering = (call) => {
  const x = call.input(0);
  computable([x]);
  return [elementwise(call, x.dtype, [x], (value) => unary(unaryOperators[call.node.operator]!, value))];
};

const relu: OperatorLowering = (call) => {
  const x = call.input(0);
  computable([x]);
  return [elementwise(call, x.dtype, [x], (value) => select(less(value, literal(value.type, 0)), literal(value.type, 0), value))];
};

/** x/2 · (1 + erf(x / √2)). */
export const gelu = (x: Expression): Expression => multiply(multiply(f32(0.5), x), add(f32(1), unary('erf', multiply(x, f32(Math.SQRT1_2)))));
/** x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³))). */
export const geluTanh = (x: Expression): Expression =>
  multiply(multiply(f32(0.5), x), add(f32(1), unary('tanh', multiply(f32(Math.sqrt(2 / Math.PI)), add(x, multiply(f32(0.044715), multiply(x, multiply(x, x))))))));

const geluLowering: OperatorLowering = (call) => {
  const x = call.input(0);
  computable([x]);
  return [elementwise(call, x.dtype, [x], call.text('approximate', 'none') === 'tanh' ? geluTanh : gelu)];
};

const fastGelu: OperatorLowering = (call) => {
  const x = call.input(0);
  const bias = call.inputs[1];
  computable([x]);
  return [bias === undefined ? elementwise(call, x.dtype, [x], geluTanh) : elementwise(call, x.dtype, [x, bias], (a, b) => geluTanh(add(a!, b!)))];
};

const quickGelu: OperatorLowering = (call) => {
  const x = call.input(0);
  const alpha = call.number('alpha', 1.702);
  computable([x]);
  return [elementwise(call, x.dtype, [x], (value) => multiply(value, unary('sigmoid', multiply(f32(alpha), value))))];
};

const binaryOperators: Readonly<Record<string, BinaryOperator>> = {
  Add: 'add',
  Sum: 'add',
  Sub: 'subtract',
  Mul: 'multiply',
  Div: 'divide',
  Max: 'maximum',
  Min: 'minimum',
  And: 'and',
  Or: 'or',
  Xor: 'xor',
};

const binaryLowering: OperatorLowering = (call) => {
  const inputs = call.inputs.map((_, index) => call.input(index));
  computable(inputs);
  const operator = binaryOperators[call.node.operator]!;
  return [
    inputs.slice(1).reduce(
      (result, tensor) => elementwise(call, result.dtype, [result, tensor], (a, b) => binary(operator, a!, b!)),
      inputs[0]!,
    ),
  ];
};

/** fmod = 1: the sign of the dividend; 0: of the divisor. */
const mod: OperatorLowering = (call) => {
  const [a, b] = [call.input(0), call.input(1)];
  computable([a, b]);
  const truncated = call.number('fmod', 0) !== 0;
  return [
    elementwise(call, a.dtype, [a, b], (x, y) => {
      const rest = binary('remainder', x!, y!);
      if (truncated || x!.type === 'u32' || x!.type === 'u64') return rest;
      const zero = literal(x!.type, 0);
      const differs = binary('xor', less(rest, zero), less(y!, zero));
      return select(and(not(equal(rest, zero)), differs), add(rest, y!), rest);
    }),
  ];
};

const pow: OperatorLowering = (call) => {
  const [base, exponent] = [call.input(0), call.input(1)];
  computable([base, exponent]);
  // Squares are what norms are made of; a product is exact where a power is not.
  const constant = exponent.host?.data.length === 1 && exponent.dtype !== 'float16' && exponent.dtype !== 'bfloat16' ? Number(exponent.host.data[0]) : undefined;
  const type = scalarTypeOf(base.dtype);
  if (constant === 2 && type === 'f32' && exponent.shape.length <= base.shape.length) return [elementwise(call, base.dtype, [base], (x) => multiply(x, x))];
  const floating = type === 'f32' || scalarTypeOf(exponent.dtype) === 'f32';
  const common = floating ? 'f32' : type;
  return [elementwise(call, base.dtype, [base, exponent], (x, y) => convert(type, binary('power', convert(common, x!), convert(common, y!))))];
};

const comparisons: Readonly<Record<string, (a: Expression, b: Expression) => Expression>> = {
  Equal: equal,
  Less: less,
  LessOrEqual: (a, b) => binary('less-equal', a, b),
  Greater: (a, b) => less(b, a),
  GreaterOrEqual: (a, b) => binary('less-equal', b, a),
};

const comparison: OperatorLowering = (call) => {
  const [a, b] = [call.input(0), call.input(1)];
  computable([a, b]);
  const compare = comparisons[call.node.operator]!;
  return [
    elementwise(call, 'bool', [a, b], (x, y) =>
      x!.type === 'bool' ? compare(convert('u32', x!), convert('u32', y!)) : compare(x!, y!),
    ),
  ];
};

const notLowering: OperatorLowering = (call) => [elementwise(call, 'bool', [call.input(0)], (x) => not(x))];

/** min(max(x, low), high); comparisons keep NaN. */
const clip: OperatorLowering = (call) => {
  const x = call.input(0);
  const [low, high] = [call.inputs[1], call.inputs[2]];
  computable([x]);
  const type = scalarTypeOf(x.dtype);
  const inputs = [x, ...(low === undefined ? [] : [low]), ...(high === undefined ? [] : [high])];
  const bound = (given: LazyTensor | undefined, attribute: string, elements: readonly Expression[]): Expression | undefined => {
    if (given !== undefined) return elements[inputs.indexOf(given)];
    const value = call.attribute(attribute);
    return typeof value === 'number' ? literal(type, value) : undefined;
  };
  return [
    elementwise(call, x.dtype, inputs, (...elements) => {
      let value = elements[0]!;
      const least = bound(low, 'min', elements);
      const most = bound(high, 'max', elements);
      if (least !== undefined) value = select(less(value, least), least, value);
      if (most !== undefined) value = select(less(most, value), most, value);
      return value;
    }),
  ];
};

const where: OperatorLowering = (call) => {
  const [condition, x, y] = [call.input(0), call.input(1), call.input(2)];
  return [elementwise(call, x.dtype, [condition, x, y], (c, a, b) => select(c!, a!, b!))];
};

/** Floats truncate toward zero, except to 4 bits, where they round half to even and saturate. */
export function castTo(dtype: DType, from: DType, x: Expression): Expression {
  const type = scalarTypeOf(dtype);
  if (x.type === 'f32' && (dtype === 'int4' || dtype === 'uint4')) {
    const [low, high] = dtype === 'int4' ? [-8, 7] : [0, 15];
    const rounded = unary('round', x);
    const clamped = select(less(rounded, f32(low)), f32(low), select(less(f32(high), rounded), f32(high), rounded));
    return convert(type, clamped);
  }
  if (from === 'float64' || dtype === 'float64') return cannotLower('kernels do not compute in float64');
  return narrow(dtype, convert(type, x));
}

const cast: OperatorLowering = (call) => {
  const x = call.input(0);
  const dtype = dtypeOfOnnxCode(call.number('to', 1)) ?? call.fail('casts to a type that Pare does not have');
  if (dtype === x.dtype) return [x];
  return [elementwise(call, dtype, [x], (value) => castTo(dtype, x.dtype, value))];
};

/** round(a / b) to the nearest, halves to even. */
export const roundedQuotient = (a: Expression, b: Expression): Expression => unary('round', divide(a, b));

export const elementwiseLowerings: Readonly<Record<string, OperatorLowering>> = {
  ...Object.fromEntries(Object.keys(unaryOperators).map((name) => [`::${name}`, unaryLowering])),
  ...Object.fromEntries(Object.keys(binaryOperators).map((name) => [`::${name}`, binaryLowering])),
  ...Object.fromEntries(Object.keys(comparisons).map((name) => [`::${name}`, comparison])),
  '::Relu': relu,
  '::Gelu': geluLowering,
  'com.microsoft::Gelu': geluLowering,
  'com.microsoft::FastGelu': fastGelu,
  'com.microsoft::QuickGelu': quickGelu,
  '::Mod': mod,
  '::Pow': pow,
  '::Not': notLowering,
  '::Clip': clip,
  '::Where': where,
  '::Cast': cast,
};
