import { type Dimension } from '@pare/core';
import { addDimensions, alwaysAtMost, divideExactly, maximumDimension, minimumDimension, multiplyDimensions, sameDimension, subtractDimensions } from '../types/dimension.js';
import { broadcasting, sameAsFirst, type KnownElement } from './rules.js';
import { defineOperator, float, int, string, type InferenceContext, type OperatorSchema } from './schema.js';
import { boolean, everything, floats, numeric, signed, wholeBytes } from './types.js';

/* Operators that act on each element. Their arithmetic on known elements carries sizes through exported shape computations. */

const unary = (name: string, types = floats, compute?: (element: Dimension) => KnownElement): OperatorSchema =>
  defineOperator(name, { inputs: 'X:T', outputs: 'Y:T', types: { T: types }, infer: sameAsFirst(compute) });

/** A rule on two known operands. */
const both =
  (compute: (left: Dimension, right: Dimension) => KnownElement) =>
  (left: KnownElement, right: KnownElement): KnownElement =>
    left === undefined || right === undefined ? undefined : compute(left, right);

const binary = (name: string, types = numeric, compute?: (left: Dimension, right: Dimension) => KnownElement): OperatorSchema =>
  defineOperator(name, { inputs: 'A:T B:T', outputs: 'C:T', types: { T: types }, infer: broadcasting(compute === undefined ? undefined : both(compute)) });

const comparison = (name: string, types = numeric, compute?: (left: Dimension, right: Dimension) => KnownElement): OperatorSchema =>
  defineOperator(name, { inputs: 'A:T B:T', outputs: 'C:bool', types: { T: types }, infer: broadcasting(compute === undefined ? undefined : both(compute)) });

const logical = (name: string, compute: (left: number, right: number) => boolean): OperatorSchema =>
  defineOperator(name, {
    inputs: 'A:T B:T',
    outputs: 'C:T',
    types: { T: boolean },
    infer: broadcasting(both((left, right) => (typeof left === 'number' && typeof right === 'number' ? Number(compute(left, right)) : undefined))),
  });

const variadic = (name: string, types = numeric, compute?: (left: Dimension, right: Dimension) => KnownElement): OperatorSchema =>
  defineOperator(name, {
    inputs: 'data...:T',
    outputs: 'Y:T',
    types: { T: types },
    infer: broadcasting(compute === undefined ? undefined : (...operands) => operands.reduce((left, right) => both(compute)(left, right))),
  });

/** `left < right` where it holds, or fails, for all sizes. */
const less = (left: Dimension, right: Dimension): KnownElement => (alwaysAtMost(addDimensions(left, 1), right) ? 1 : alwaysAtMost(right, left) ? 0 : undefined);
const lessOrEqual = (left: Dimension, right: Dimension): KnownElement => (alwaysAtMost(left, right) ? 1 : alwaysAtMost(addDimensions(right, 1), left) ? 0 : undefined);

const equal = (left: Dimension, right: Dimension): KnownElement => {
  if (sameDimension(left, right)) return 1;
  return alwaysAtMost(addDimensions(left, 1), right) || alwaysAtMost(addDimensions(right, 1), left) ? 0 : undefined;
};

/** Integer division truncates; on symbolic sizes only exact quotients are kept. */
function divide(context: InferenceContext): ReturnType<OperatorSchema['infer']> {
  const integral = !floats.includes(context.inputs[0]!.dtype);
  return broadcasting(
    both((left, right) => {
      if (typeof left === 'number' && typeof right === 'number') return right === 0 ? undefined : integral ? Math.trunc(left / right) : left / right;
      return divideExactly(left, right);
    }),
  )(context);
}

function power(base: Dimension, exponent: Dimension): KnownElement {
  if (typeof base === 'number' && typeof exponent === 'number') return base ** exponent;
  return exponent === 2 ? multiplyDimensions(base, base) : undefined;
}

function modulo(context: InferenceContext): ReturnType<OperatorSchema['infer']> {
  const truncating = context.int('fmod') === 1;
  return broadcasting(
    both((left, right) => {
      if (typeof left !== 'number' || typeof right !== 'number' || right === 0) return undefined;
      return truncating ? left % right : left - Math.floor(left / right) * right;
    }),
  )(context);
}

export const elementwiseOperators: readonly OperatorSchema[] = [
  unary('Abs', numeric, (x) => (typeof x === 'number' ? Math.abs(x) : alwaysAtMost(0, x) ? x : undefined)),
  unary('Neg', signed, (x) => subtractDimensions(0, x)),
  unary('Sign', numeric, (x) => (typeof x === 'number' ? Math.sign(x) : undefined)),
  ...['Exp', 'Log', 'Sqrt', 'Reciprocal', 'Round', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Erf'].map((name) => unary(name, name === 'Erf' ? numeric : floats)),
  unary('Relu', signed, (x) => (typeof x === 'number' ? Math.max(x, 0) : undefined)),
  defineOperator('Gelu', {
    inputs: 'X:T',
    outputs: 'Y:T',
    types: { T: floats },
    attributes: { approximate: string('none', ['none', 'tanh']) },
    infer: sameAsFirst(),
  }),
  defineOperator('Not', { inputs: 'X:T', outputs: 'Y:T', types: { T: boolean }, infer: sameAsFirst((x) => (x === 0 ? 1 : 0)) }),
  defineOperator('Identity', { inputs: 'input:T', outputs: 'output:T', types: { T: everything }, infer: sameAsFirst((x) => x) }),
  defineOperator('Clip', {
    inputs: 'input:T min?:T max?:T',
    outputs: 'output:T',
    types: { T: numeric },
    // Attributes up to operator set 10, inputs since.
    attributes: { min: float(), max: float() },
    infer: (context) => {
      const low = context.elements(1)?.[0];
      const high = context.elements(2)?.[0];
      const known = (context.inputs[1] === undefined || low !== undefined) && (context.inputs[2] === undefined || high !== undefined);
      return sameAsFirst((x) => {
        if (!known || context.attribute('min') !== undefined || context.attribute('max') !== undefined) return undefined;
        const raised = low === undefined ? x : maximumDimension(x, low);
        return high === undefined ? raised : minimumDimension(raised, high);
      })(context);
    },
  }),
  binary('Add', numeric, addDimensions),
  binary('Sub', numeric, subtractDimensions),
  binary('Mul', numeric, multiplyDimensions),
  defineOperator('Div', { inputs: 'A:T B:T', outputs: 'C:T', types: { T: numeric }, infer: divide }),
  defineOperator('Pow', { inputs: 'X:T Y:T1', outputs: 'Z:T', types: { T: numeric, T1: numeric }, infer: broadcasting(both(power)) }),
  defineOperator('Mod', { inputs: 'A:T B:T', outputs: 'C:T', types: { T: numeric }, attributes: { fmod: int(0) }, infer: modulo }),
  variadic('Max', numeric, maximumDimension),
  variadic('Min', numeric, minimumDimension),
  variadic('Sum', floats, addDimensions),
  comparison('Equal', wholeBytes, equal),
  comparison('Less', numeric, less),
  comparison('LessOrEqual', numeric, lessOrEqual),
  comparison('Greater', numeric, (left, right) => less(right, left)),
  comparison('GreaterOrEqual', numeric, (left, right) => lessOrEqual(right, left)),
  logical('And', (left, right) => left !== 0 && right !== 0),
  logical('Or', (left, right) => left !== 0 || right !== 0),
  logical('Xor', (left, right) => (left !== 0) !== (right !== 0)),
  defineOperator('Where', {
    inputs: 'condition:B X:T Y:T',
    outputs: 'output:T',
    types: { B: boolean, T: everything },
    infer: broadcasting((condition, x, y) => (condition === undefined ? (x !== undefined && y !== undefined && sameDimension(x, y) ? x : undefined) : condition === 0 ? y : x)),
  }),
];
