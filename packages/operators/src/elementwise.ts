import { elementCount, hostTensor, roundHalfEven, type DType, type HostTensor } from '@pare/core';
import {
  allInputs,
  choiceAttribute,
  commonType,
  fail,
  input,
  numberAttribute,
  onnxTypes,
  requireType,
  shapeText,
  typeAttribute,
  type Call,
  type Kernel,
} from './kernel.js';
import { broadcastIndex, broadcastShapes } from './shape.js';
import { erf, gelu, geluTanh, sigmoid } from './special-functions.js';
import {
  allocateElements,
  allocateNumbers,
  bigints,
  dtypeRange,
  elements,
  fromBigints,
  fromElements,
  fromNumbers,
  isBig,
  isFloat,
  numbers,
  saturate,
  type Bigints,
} from './values.js';

/* Operators that treat each element by itself. The operator is chosen inside the loop: one small function per kind of arithmetic reads as the
   table of formulas that it is, and the branch costs less than a call through a function value. */

function unaryValue(operator: string, x: number): number {
  switch (operator) {
    case 'Abs':
      return Math.abs(x);
    case 'Neg':
      return -x;
    case 'Reciprocal':
      return 1 / x;
    case 'Sqrt':
      return Math.sqrt(x);
    case 'Exp':
      return Math.exp(x);
    case 'Log':
      return Math.log(x);
    case 'Sin':
      return Math.sin(x);
    case 'Cos':
      return Math.cos(x);
    case 'Tanh':
      return Math.tanh(x);
    case 'Sigmoid':
      return sigmoid(x);
    case 'Erf':
      return erf(x);
    case 'Relu':
      return x < 0 ? 0 : x; // NaN stays NaN
    case 'Sign':
      return Math.sign(x);
    case 'Round':
      return roundHalfEven(x);
    case 'Gelu':
      return gelu(x);
    default:
      return geluTanh(x); // GeluTanh
  }
}

function unaryBigint(operator: string, x: bigint): bigint {
  switch (operator) {
    case 'Abs':
      return x < 0n ? -x : x;
    case 'Neg':
      return -x;
    case 'Relu':
      return x < 0n ? 0n : x;
    default:
      return x < 0n ? -1n : x > 0n ? 1n : 0n; // Sign
  }
}

/** The unary operators that integers have too. */
const integerUnary = ['Abs', 'Neg', 'Relu', 'Sign'];

function applyUnary(operator: string, x: HostTensor): HostTensor {
  if (isBig(x.dtype)) {
    const source = bigints(x);
    const result = source.slice();
    for (let index = 0; index < source.length; index++) result[index] = unaryBigint(operator, source[index]!);
    return fromBigints(x.dtype, x.shape, result);
  }
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, source.length);
  for (let index = 0; index < source.length; index++) result[index] = unaryValue(operator, source[index]!);
  return fromNumbers(x.dtype, x.shape, result);
}

const unary: Kernel = (call) => {
  const x = input(call, 0);
  const operator = call.node.operator;
  if (!isFloat(x.dtype) && (!integerUnary.includes(operator) || x.dtype === 'bool')) fail(call, `${operator} of ${x.dtype} is not defined`);
  return [applyUnary(operator, x)];
};

/** Gelu of ONNX and of com.microsoft (always the exact form there). */
const geluKernel: Kernel = (call) => {
  const approximate = choiceAttribute(call, 'approximate', ['none', 'tanh'], 'none');
  return [applyUnary(approximate === 'tanh' ? 'GeluTanh' : 'Gelu', input(call, 0))];
};

/** GeluTanh(x + bias). */
const fastGelu: Kernel = (call) => {
  const x = input(call, 0);
  const bias = call.inputs[1];
  return [applyUnary('GeluTanh', bias === undefined ? x : arithmetic(call, 'Add', x, bias))];
};

/** x · sigmoid(alpha · x). */
const quickGelu: Kernel = (call) => {
  const x = input(call, 0);
  const alpha = numberAttribute(call, 'alpha', 1.702);
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, source.length);
  for (let index = 0; index < source.length; index++) result[index] = source[index]! * sigmoid(alpha * source[index]!);
  return [fromNumbers(x.dtype, x.shape, result)];
};

const not: Kernel = (call) => {
  const x = input(call, 0);
  requireType(call, x, 'input', ['bool']);
  const source = numbers(x);
  const result = new Uint8Array(source.length);
  for (let index = 0; index < source.length; index++) result[index] = source[index] === 0 ? 1 : 0;
  return [hostTensor('bool', x.shape, result)];
};

/** C's pow: 1^y and (−1)^±∞ are 1, where JavaScript says NaN. */
function power(x: number, y: number): number {
  if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1;
  return x ** y;
}

/** The remainder with the divisor's sign, as Python's %. */
function floorMod(x: number, y: number): number {
  const rest = x % y;
  return rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
}

function floatArithmetic(operator: string, x: number, y: number): number {
  switch (operator) {
    case 'Add':
    case 'Sum':
      return x + y;
    case 'Sub':
      return x - y;
    case 'Mul':
      return x * y;
    case 'Div':
      return x / y;
    case 'Max':
      return Math.max(x, y); // NaN wins
    case 'Min':
      return Math.min(x, y);
    case 'Pow':
      return power(x, y);
    default:
      return x % y; // Mod with fmod = 1: the remainder with the dividend's sign
  }
}

/** Integers of at most 32 bits; the array that receives the result wraps it. Division by zero, undefined in ONNX, gives 0. */
function integerArithmetic(operator: string, x: number, y: number): number {
  switch (operator) {
    case 'Add':
    case 'Sum':
      return x + y;
    case 'Sub':
      return x - y;
    case 'Mul':
      return Math.imul(x, y);
    case 'Div':
      return y === 0 ? 0 : Math.trunc(x / y);
    case 'Max':
      return Math.max(x, y);
    case 'Min':
      return Math.min(x, y);
    case 'Mod':
      return y === 0 ? 0 : floorMod(x, y);
    default:
      return y === 0 ? 0 : x % y; // FMod
  }
}

function bigintArithmetic(operator: string, x: bigint, y: bigint): bigint {
  switch (operator) {
    case 'Add':
    case 'Sum':
      return x + y;
    case 'Sub':
      return x - y;
    case 'Mul':
      return x * y;
    case 'Div':
      return y === 0n ? 0n : x / y;
    case 'Max':
      return x > y ? x : y;
    case 'Min':
      return x < y ? x : y;
    case 'Pow':
      return bigintPower(x, y);
    case 'Mod': {
      if (y === 0n) return 0n;
      const rest = x % y;
      return rest !== 0n && rest < 0n !== y < 0n ? rest + y : rest;
    }
    default:
      return y === 0n ? 0n : x % y; // FMod
  }
}

/** x^y modulo 2^64 by repeated squaring; a negative exponent truncates 1/x^|y|. */
function bigintPower(x: bigint, y: bigint): bigint {
  if (y < 0n) return x === 1n ? 1n : x === -1n ? (y % 2n === 0n ? 1n : -1n) : 0n;
  let result = 1n;
  let factor = x;
  for (let exponent = y; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = BigInt.asIntN(64, result * factor);
    factor = BigInt.asIntN(64, factor * factor);
  }
  return result;
}

function targetShape(call: Call, tensors: readonly HostTensor[]): number[] {
  const shapes = tensors.map((tensor) => tensor.shape);
  return broadcastShapes(shapes) ?? fail(call, `shapes ${shapes.map(shapeText).join(' and ')} do not broadcast`);
}

function arithmetic(call: Call, operator: string, a: HostTensor, b: HostTensor): HostTensor {
  const dtype = commonType(call, [a, b]);
  if (dtype === 'bool') fail(call, `${operator} of bool is not defined`);
  const shape = targetShape(call, [a, b]);
  const fromA = broadcastIndex(a.shape, shape);
  const fromB = broadcastIndex(b.shape, shape);
  const count = elementCount(shape);
  if (isBig(dtype)) {
    const x = bigints(a);
    const y = bigints(b);
    const result = dtype === 'int64' ? new BigInt64Array(count) : new BigUint64Array(count);
    for (let index = 0; index < count; index++) {
      result[index] = bigintArithmetic(operator, x[fromA === undefined ? index : fromA[index]!]!, y[fromB === undefined ? index : fromB[index]!]!);
    }
    return fromBigints(dtype, shape, result);
  }
  const x = numbers(a);
  const y = numbers(b);
  const result = allocateNumbers(dtype, count);
  if (isFloat(dtype)) {
    for (let index = 0; index < count; index++) {
      result[index] = floatArithmetic(operator, x[fromA === undefined ? index : fromA[index]!]!, y[fromB === undefined ? index : fromB[index]!]!);
    }
  } else {
    for (let index = 0; index < count; index++) {
      result[index] = integerArithmetic(operator, x[fromA === undefined ? index : fromA[index]!]!, y[fromB === undefined ? index : fromB[index]!]!);
    }
  }
  return fromNumbers(dtype, shape, result);
}

const binary: Kernel = (call) => [arithmetic(call, call.node.operator, input(call, 0), input(call, 1))];

/** Max, Min and Sum of any number of tensors. */
const variadic: Kernel = (call) => {
  const tensors = allInputs(call);
  commonType(call, tensors);
  return [tensors.slice(1).reduce((result, tensor) => arithmetic(call, call.node.operator, result, tensor), tensors[0]!)];
};

/** fmod = 0: the sign of the divisor (integers only); fmod = 1: the sign of the dividend. */
const mod: Kernel = (call) => {
  const a = input(call, 0);
  const truncated = numberAttribute(call, 'fmod', 0) !== 0;
  if (isFloat(a.dtype) && !truncated) fail(call, 'Mod of floats needs fmod = 1');
  return [arithmetic(call, truncated ? 'FMod' : 'Mod', a, input(call, 1))];
};

/** The base's type is the result's; the exponent may have another. */
const pow: Kernel = (call) => {
  const base = input(call, 0);
  const exponent = input(call, 1);
  const shape = targetShape(call, [base, exponent]);
  const fromBase = broadcastIndex(base.shape, shape);
  const fromExponent = broadcastIndex(exponent.shape, shape);
  const count = elementCount(shape);
  if (!isFloat(base.dtype) && !isFloat(exponent.dtype)) {
    const x = bigints(base);
    const y = bigints(exponent);
    const result = new BigInt64Array(count);
    for (let index = 0; index < count; index++) result[index] = bigintPower(x[fromBase?.[index] ?? index]!, y[fromExponent?.[index] ?? index]!);
    return [castBigints(result, shape, base.dtype)];
  }
  const x = numbers(base);
  const y = numbers(exponent);
  const result = isFloat(base.dtype) ? allocateNumbers(base.dtype, count) : new Float64Array(count);
  for (let index = 0; index < count; index++) result[index] = power(x[fromBase?.[index] ?? index]!, y[fromExponent?.[index] ?? index]!);
  return [fromNumbers(base.dtype, shape, result)];
};

function comparison(operator: string, x: number | bigint, y: number | bigint): boolean {
  switch (operator) {
    case 'Equal':
      return x === y;
    case 'Greater':
      return x > y;
    case 'GreaterOrEqual':
      return x >= y;
    case 'Less':
      return x < y;
    default:
      return x <= y; // LessOrEqual
  }
}

const compare: Kernel = (call) => {
  const a = input(call, 0);
  const b = input(call, 1);
  const dtype = commonType(call, [a, b]);
  const shape = targetShape(call, [a, b]);
  const fromA = broadcastIndex(a.shape, shape);
  const fromB = broadcastIndex(b.shape, shape);
  const operator = call.node.operator;
  const x = isBig(dtype) ? bigints(a) : numbers(a);
  const y = isBig(dtype) ? bigints(b) : numbers(b);
  const result = new Uint8Array(elementCount(shape));
  for (let index = 0; index < result.length; index++) result[index] = comparison(operator, x[fromA?.[index] ?? index]!, y[fromB?.[index] ?? index]!) ? 1 : 0;
  return [hostTensor('bool', shape, result)];
};

function logicValue(operator: string, x: number, y: number): number {
  switch (operator) {
    case 'And':
      return x & y;
    case 'Or':
      return x | y;
    default:
      return x ^ y; // Xor
  }
}

const logic: Kernel = (call) => {
  const a = input(call, 0);
  const b = input(call, 1);
  requireType(call, a, 'first input', ['bool']);
  requireType(call, b, 'second input', ['bool']);
  const shape = targetShape(call, [a, b]);
  const fromA = broadcastIndex(a.shape, shape);
  const fromB = broadcastIndex(b.shape, shape);
  const x = numbers(a);
  const y = numbers(b);
  const result = new Uint8Array(elementCount(shape));
  for (let index = 0; index < result.length; index++) result[index] = logicValue(call.node.operator, x[fromA?.[index] ?? index]!, y[fromB?.[index] ?? index]!);
  return [hostTensor('bool', shape, result)];
};

/** min(max(x, low), high): bounds are scalar inputs, attributes before opset 11. */
const clip: Kernel = (call) => {
  const x = input(call, 0);
  if (isBig(x.dtype)) {
    const source = bigints(x);
    const result = source.slice();
    const low = call.inputs[1] === undefined ? undefined : bigints(call.inputs[1])[0];
    const high = call.inputs[2] === undefined ? undefined : bigints(call.inputs[2])[0];
    for (let index = 0; index < source.length; index++) {
      let value = source[index]!;
      if (low !== undefined && value < low) value = low;
      if (high !== undefined && value > high) value = high;
      result[index] = value;
    }
    return [fromBigints(x.dtype, x.shape, result)];
  }
  const low = call.inputs[1] === undefined ? numberAttribute(call, 'min', -Infinity) : numbers(call.inputs[1])[0]!;
  const high = call.inputs[2] === undefined ? numberAttribute(call, 'max', Infinity) : numbers(call.inputs[2])[0]!;
  const source = numbers(x);
  const result = allocateNumbers(x.dtype, source.length);
  for (let index = 0; index < source.length; index++) {
    let value = source[index]!;
    if (value < low) value = low;
    if (value > high) value = high;
    result[index] = value;
  }
  return [fromNumbers(x.dtype, x.shape, result)];
};

/** condition ? x : y. */
const where: Kernel = (call) => {
  const condition = input(call, 0);
  const x = input(call, 1);
  const y = input(call, 2);
  requireType(call, condition, 'condition', ['bool']);
  const dtype = commonType(call, [x, y]);
  const shape = targetShape(call, [condition, x, y]);
  const fromCondition = broadcastIndex(condition.shape, shape);
  const fromX = broadcastIndex(x.shape, shape);
  const fromY = broadcastIndex(y.shape, shape);
  const flags = numbers(condition);
  const whenTrue = elements(x);
  const whenFalse = elements(y);
  const result = allocateElements(dtype, elementCount(shape));
  for (let index = 0; index < result.length; index++) {
    result[index] = flags[fromCondition?.[index] ?? index] === 0 ? whenFalse[fromY?.[index] ?? index]! : whenTrue[fromX?.[index] ?? index]!;
  }
  return [fromElements(dtype, shape, result)];
};

/** Floats to integers truncate toward zero, except to 4 bits, where they round half to even and saturate; integers to narrower ones wrap. */
export function castTensor(tensor: HostTensor, to: DType): HostTensor {
  if (tensor.dtype === to) return tensor;
  if (isBig(tensor.dtype) && !isFloat(to)) return castBigints(bigints(tensor), tensor.shape, to);
  const source = numbers(tensor);
  if (isFloat(tensor.dtype) && (to === 'int4' || to === 'uint4')) {
    const [low, high] = dtypeRange(to);
    const codes = new Int8Array(source.length);
    for (let index = 0; index < source.length; index++) codes[index] = saturate(roundHalfEven(source[index]!), low, high);
    return fromNumbers(to, tensor.shape, codes);
  }
  return fromNumbers(to, tensor.shape, source);
}

function castBigints(values: Bigints, shape: readonly number[], to: DType): HostTensor {
  if (isBig(to)) return fromBigints(to, shape, values.slice());
  // The low 32 bits suffice: narrower types wrap, and bool only asks whether any bit is set.
  const low = new Int32Array(values.length);
  for (let index = 0; index < values.length; index++) low[index] = to === 'bool' ? (values[index] === 0n ? 0 : 1) : Number(BigInt.asIntN(32, values[index]!));
  return fromNumbers(to, shape, low);
}

const cast: Kernel = (call) => {
  const to = typeAttribute(call, 'to') ?? fail(call, 'attribute to is missing');
  return [castTensor(input(call, 0), to)];
};

/** Whether a Cast names a type that Pare has. */
export function castTargetProblem(node: Call['node']): string | undefined {
  const code = node.attributes['to'];
  if (typeof code !== 'number' || onnxTypes.has(code)) return undefined;
  return `casts to element type ${String(code)}, which Pare does not have`;
}

const unaryNames = ['Abs', 'Neg', 'Reciprocal', 'Sqrt', 'Exp', 'Log', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Erf', 'Relu', 'Sign', 'Round'];

export const elementwise: readonly (readonly [string, Kernel])[] = [
  ...unaryNames.map((name) => [`::${name}`, unary] as const),
  ...['Add', 'Sub', 'Mul', 'Div'].map((name) => [`::${name}`, binary] as const),
  ...['Max', 'Min', 'Sum'].map((name) => [`::${name}`, variadic] as const),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((name) => [`::${name}`, compare] as const),
  ...['And', 'Or', 'Xor'].map((name) => [`::${name}`, logic] as const),
  ['::Not', not],
  ['::Mod', mod],
  ['::Pow', pow],
  ['::Gelu', geluKernel],
  ['com.microsoft::Gelu', geluKernel],
  ['com.microsoft::FastGelu', fastGelu],
  ['com.microsoft::QuickGelu', quickGelu],
  ['::Clip', clip],
  ['::Where', where],
  ['::Cast', cast],
];
