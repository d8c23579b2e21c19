import type { DType } from '@pare/core';

/*
 * What one invocation of a generated kernel computes: an expression over loads, sizes and loops. It is data, so that each kernel language prints it and
 * lowering can combine, simplify and count it. Expressions are trees with shared branches; printers emit a shared branch once.
 */

/** Types that kernels compute with. 16-bit floats are widened to f32, small integers to 32 bits; i64 and u64 are pairs of words where a language has nothing better. */
export type ScalarType = 'f32' | 'i32' | 'u32' | 'bool' | 'i64' | 'u64';

export type UnaryOperator =
  | 'abs'
  | 'negate'
  | 'reciprocal'
  | 'sqrt'
  | 'exp'
  | 'log'
  | 'sin'
  | 'cos'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'sign'
  | 'round' // half to even
  | 'floor'
  | 'not'
  | 'is-nan';

export type BinaryOperator =
  | 'add'
  | 'subtract'
  | 'multiply'
  | 'divide' // integers truncate; by zero gives 0
  | 'remainder' // sign of the dividend; by zero gives 0
  | 'maximum' // NaN wins
  | 'minimum'
  | 'power'
  | 'equal'
  | 'less'
  | 'less-equal'
  | 'and' // bits of integers, logic of bool
  | 'or'
  | 'xor'
  | 'shift-left'
  | 'shift-right'; // arithmetic for i32

export type Reduction = 'sum' | 'product' | 'maximum' | 'minimum';

export interface Literal {
  readonly kind: 'literal';
  readonly type: ScalarType;
  readonly value: number | bigint;
}

/** An integer that follows from shapes. Printed as a uniform, so that one kernel serves all shapes. */
export interface Size {
  readonly kind: 'size';
  readonly type: 'i32';
  readonly value: number;
}

/** A number handed to the kernel anew with each set of shapes. */
export interface Scalar {
  readonly kind: 'scalar';
  readonly type: 'f32';
  readonly value: number;
}

/** The position that the kernel computes (`index`), or the counter of a loop. */
export interface Variable {
  readonly kind: 'variable';
  readonly type: 'i32';
  readonly name: string;
}

/** An element of a buffer. An index outside of it reads some element of it: values that a `select` discards may be loaded from anywhere. */
export interface Load {
  readonly kind: 'load';
  readonly type: ScalarType;
  readonly buffer: BufferReference;
  readonly dtype: DType;
  readonly index: Expression;
}

export interface Unary {
  readonly kind: 'unary';
  readonly type: ScalarType;
  readonly operator: UnaryOperator;
  readonly x: Expression;
}

export interface Binary {
  readonly kind: 'binary';
  readonly type: ScalarType;
  readonly operator: BinaryOperator;
  readonly a: Expression;
  readonly b: Expression;
}

export interface Select {
  readonly kind: 'select';
  readonly type: ScalarType;
  readonly condition: Expression;
  readonly a: Expression;
  readonly b: Expression;
}

/** Floats to integers truncate and saturate; integers wrap; anything to bool asks whether it is not 0. */
export interface Convert {
  readonly kind: 'convert';
  readonly type: ScalarType;
  readonly x: Expression;
}

/** The value as it would be after being stored in `dtype` and read again. */
export interface Narrow {
  readonly kind: 'narrow';
  readonly type: ScalarType;
  readonly dtype: DType;
  readonly x: Expression;
}

/** Combines `body` over `variable` = 0 … extent − 1, starting from the neutral element. */
export interface Loop {
  readonly kind: 'loop';
  readonly type: ScalarType;
  readonly reduction: Reduction;
  readonly variable: Variable;
  readonly extent: Expression;
  readonly body: Expression;
}

export type Expression = Literal | Size | Scalar | Variable | Load | Unary | Binary | Select | Convert | Narrow | Loop;

/** A buffer of the plan under construction. */
export interface BufferReference {
  readonly id: number;
  readonly bytes: number;
}

/** The type that kernels compute an element type in. Float64, which kernels do not compute in, can only be moved: as 64 opaque bits. */
export function scalarTypeOf(dtype: DType): ScalarType {
  switch (dtype) {
    case 'float64':
    case 'uint64':
      return 'u64';
    case 'float32':
    case 'float16':
    case 'bfloat16':
      return 'f32';
    case 'int64':
      return 'i64';
    case 'bool':
      return 'bool';
    default:
      return dtype.startsWith('u') ? 'u32' : 'i32';
  }
}

/** The position that a kernel computes. */
export const position: Variable = { kind: 'variable', type: 'i32', name: 'index' };

let loops = 0;

/** A counter that no other loop uses. */
export function loopVariable(): Variable {
  return { kind: 'variable', type: 'i32', name: `loop${String(loops++)}` };
}

export function literal(type: ScalarType, value: number | bigint): Literal {
  return { kind: 'literal', type, value: type === 'i64' || type === 'u64' ? BigInt(value) : value };
}

/** An index constant. 0 and 1 shape the text of the kernel; others are sizes. */
export function size(value: number): Literal | Size {
  return value === 0 || value === 1 || value === -1 ? literal('i32', value) : { kind: 'size', type: 'i32', value };
}

export function load(buffer: BufferReference, dtype: DType, index: Expression): Load {
  return { kind: 'load', type: scalarTypeOf(dtype), buffer, dtype, index };
}

export function unary(operator: UnaryOperator, x: Expression): Expression {
  return { kind: 'unary', type: operator === 'is-nan' ? 'bool' : x.type, operator, x };
}

const comparisons = new Set<BinaryOperator>(['equal', 'less', 'less-equal']);

/** The value of an index constant. */
export function constantValue(expression: Expression): number | undefined {
  if (expression.kind === 'size') return expression.value;
  return expression.kind === 'literal' && typeof expression.value === 'number' ? expression.value : undefined;
}

/** An arithmetic expression; both operands have one type. Index arithmetic is simplified. */
export function binary(operator: BinaryOperator, a: Expression, b: Expression): Expression {
  const simple = a.type === 'i32' ? simplified(operator, a, b) : undefined;
  return simple ?? { kind: 'binary', type: comparisons.has(operator) ? 'bool' : a.type, operator, a, b };
}

function simplified(operator: BinaryOperator, a: Expression, b: Expression): Expression | undefined {
  const left = constantValue(a);
  const right = constantValue(b);
  switch (operator) {
    case 'add':
      if (left === 0) return b;
      if (right === 0) return a;
      break;
    case 'subtract':
      if (right === 0) return a;
      break;
    case 'multiply':
      if (left === 0 || right === 0) return literal('i32', 0);
      if (left === 1) return b;
      if (right === 1) return a;
      break;
    case 'divide':
      if (right === 1) return a;
      if (left === 0) return a;
      break;
    case 'remainder':
      if (right === 1 || left === 0) return literal('i32', 0);
      break;
    default:
      return undefined;
  }
  if (left === undefined || right === undefined || (right === 0 && operator !== 'add')) return undefined;
  switch (operator) {
    case 'add':
      return size(left + right);
    case 'subtract':
      return size(left - right);
    case 'multiply':
      return size(left * right);
    case 'divide':
      return size(Math.trunc(left / right));
    default:
      return size(left % right);
  }
}

export const add = (a: Expression, b: Expression): Expression => binary('add', a, b);
export const subtract = (a: Expression, b: Expression): Expression => binary('subtract', a, b);
export const multiply = (a: Expression, b: Expression): Expression => binary('multiply', a, b);
export const divide = (a: Expression, b: Expression): Expression => binary('divide', a, b);
export const remainder = (a: Expression, b: Expression): Expression => binary('remainder', a, b);
export const less = (a: Expression, b: Expression): Expression => binary('less', a, b);
export const equal = (a: Expression, b: Expression): Expression => binary('equal', a, b);
export const and = (a: Expression, b: Expression): Expression => binary('and', a, b);
export const or = (a: Expression, b: Expression): Expression => binary('or', a, b);
export const not = (x: Expression): Expression => unary('not', x);

export function select(condition: Expression, a: Expression, b: Expression): Expression {
  if (condition.kind === 'literal') return condition.value === 0 ? b : a;
  return { kind: 'select', type: a.type, condition, a, b };
}

export function convert(type: ScalarType, x: Expression): Expression {
  if (x.type === type) return x;
  if (x.kind === 'literal' && type === 'f32' && x.type !== 'f32') return literal('f32', Number(x.value));
  return { kind: 'convert', type, x };
}

/** The value after storage in `dtype`: integers of less than 32 bits wrap, 16-bit floats are rounded. */
export function narrow(dtype: DType, x: Expression): Expression {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'uint32' || dtype === 'int64' || dtype === 'uint64' || dtype === 'float64' || dtype === 'bool') return x;
  return { kind: 'narrow', type: x.type, dtype, x };
}

/** As `narrow` for integers, whose wrapping later operators must see; 16-bit floats stay wide inside a kernel. */
export function wrapped(dtype: DType, x: Expression): Expression {
  return dtype === 'float16' || dtype === 'bfloat16' ? x : narrow(dtype, x);
}

export function loop(reduction: Reduction, extent: Expression, body: (counter: Variable) => Expression): Expression {
  const variable = loopVariable();
  const inner = body(variable);
  if (constantValue(extent) === 1) return substitute(inner, variable, literal('i32', 0));
  return { kind: 'loop', type: inner.type, reduction, variable, extent, body: inner };
}

/** The expressions that an expression is made of. */
export function children(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'load':
      return [expression.index];
    case 'unary':
    case 'convert':
    case 'narrow':
      return [expression.x];
    case 'binary':
      return [expression.a, expression.b];
    case 'select':
      return [expression.condition, expression.a, expression.b];
    case 'loop':
      return [expression.extent, expression.body];
    default:
      return [];
  }
}

/** Replaces a variable everywhere. */
export function substitute(expression: Expression, variable: Variable, by: Expression): Expression {
  const done = new Map<Expression, Expression>();
  const visit = (node: Expression): Expression => {
    if (node === variable || (node.kind === 'variable' && node.name === variable.name)) return by;
    const known = done.get(node);
    if (known !== undefined) return known;
    const result = rebuild(node, visit);
    done.set(node, result);
    return result;
  };
  return visit(expression);
}

function rebuild(node: Expression, visit: (child: Expression) => Expression): Expression {
  switch (node.kind) {
    case 'load':
      return { ...node, index: visit(node.index) };
    case 'unary':
    case 'convert':
    case 'narrow':
      return { ...node, x: visit(node.x) };
    case 'binary':
      return binary(node.operator, visit(node.a), visit(node.b));
    case 'select':
      return select(visit(node.condition), visit(node.a), visit(node.b));
    case 'loop':
      return { ...node, extent: visit(node.extent), body: visit(node.body) };
    default:
      return node;
  }
}

/** What an expression costs to print and to evaluate. */
export interface Weight {
  /** Distinct nodes that are no constants. */
  readonly nodes: number;
  /** Nodes that compute a value rather than an index: what would be repeated if the expression were evaluated twice. */
  readonly work: number;
  /** Distinct buffers, in order of appearance. */
  readonly buffers: readonly BufferReference[];
  readonly loops: boolean;
}

/** Counts an expression. */
export function weigh(expression: Expression): Weight {
  const seen = new Set<Expression>();
  const buffers = new Map<number, BufferReference>();
  let nodes = 0;
  let work = 0;
  let loopy = false;
  const visit = (node: Expression, index: boolean): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (node.kind === 'literal' || node.kind === 'size' || node.kind === 'variable' || node.kind === 'scalar') return;
    nodes++;
    if (node.kind === 'load') buffers.set(node.buffer.id, node.buffer);
    else if (!index) work += node.kind === 'unary' ? 2 : 1;
    if (node.kind === 'loop') loopy = true;
    for (const child of children(node)) visit(child, index || node.kind === 'load');
  };
  visit(expression, false);
  return { nodes, work, buffers: [...buffers.values()], loops: loopy };
}
