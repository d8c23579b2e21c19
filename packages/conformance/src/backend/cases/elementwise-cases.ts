import type { DType } from '@pare/core';
import type { BackendCase } from '../backend-case.js';
import { awkwardShapes, given, propertyCase, shapeText, usual, values } from './property-case.js';

const anywhere = ['Abs', 'Neg', 'Exp', 'Tanh', 'Sigmoid', 'Erf', 'Relu', 'Sin', 'Cos', 'Sign', 'Round', 'Gelu'];
const positive = ['Sqrt', 'Log', 'Reciprocal'];

const pairs: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[], []],
  [[], [3]],
  [[1], [0]],
  [
    [2, 0, 3],
    [1, 3],
  ],
  [
    [5, 1],
    [1, 7],
  ],
  [
    [2, 1, 4],
    [3, 1],
  ],
  [[1, 1, 1], [7]],
  [
    [257, 1],
    [1, 257],
  ],
  [[70001], []],
  [[3, 5], [5]],
];

const arithmetic = ['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Max', 'Min'];
const comparisons = ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'];

const unaryCase = (operator: string, low: number): BackendCase =>
  propertyCase(`shapes_${operator}`, `${operator} on awkward shapes`, ({ graph, feed, expect }) => {
    for (const shape of awkwardShapes) expect(`of ${shapeText(shape)}`, graph.op(operator, [feed(values(shape, low, 3))]));
  });

const pairCase = (operator: string): BackendCase =>
  propertyCase(`broadcast_${operator}`, `${operator} with broadcasting`, ({ graph, feed, expect }) => {
    for (const [a, b] of pairs) {
      // Halves, so that comparisons meet equal values; a positive base for powers.
      const left = graph.op('Round', [feed(values(a, operator === 'Pow' ? 1 : -3, 3))]);
      const right = feed(values(b, 0.5, 3, 'float32', 2));
      expect(`of ${shapeText(a)} and ${shapeText(b)}`, graph.op(operator, [left, comparisons.includes(operator) ? graph.op('Round', [right]) : right]));
    }
  });

/** Integer arithmetic with results that wrap and quotients that truncate toward zero. */
const integerCase = (dtype: DType, largest: readonly number[]): BackendCase =>
  propertyCase(`integers_${dtype}`, `${dtype} arithmetic`, ({ graph, feed, expect }) => {
    const signed = !dtype.startsWith('u');
    const a = feed(given(dtype, [5], [...largest, 7, signed ? -7 : 9, 0]));
    const b = feed(given(dtype, [5], [1, 2, 2, 2, 5]));
    for (const operator of ['Add', 'Sub', 'Mul', 'Div']) expect(operator, graph.op(operator, [a, b]));
  });

/** Cases of operators that treat each element by itself. */
export const elementwiseCases: readonly BackendCase[] = [
  ...anywhere.map((operator) => unaryCase(operator, -3)),
  ...positive.map((operator) => unaryCase(operator, 0.25)),
  ...arithmetic.map(pairCase),
  ...comparisons.map(pairCase),
  integerCase('int32', [2147483647, -2147483648]),
  integerCase('int64', [2 ** 53 - 1, -(2 ** 53) + 1]),
  propertyCase('broadcast_Where', 'Where with three shapes', ({ graph, feed, expect }) => {
    const condition = graph.greater(feed(values([3, 1, 7])), 0);
    expect('of [3,1,7], [5,1] and []', graph.where(condition, feed(values([5, 1])), feed(values([]))));
    expect('of [3,1,7], [0,1] and [1]', graph.where(condition, feed(values([0, 1])), feed(values([1]))));
  }),
  propertyCase('broadcast_And_Or_Xor_Not', 'logic with broadcasting', ({ graph, feed, expect }) => {
    const a = graph.greater(feed(values([5, 1])), 0);
    const b = graph.greater(feed(values([7])), 0);
    for (const operator of ['And', 'Or', 'Xor']) expect(operator, graph.op(operator, [a, b]));
    expect('Not', graph.not(a));
  }),
  propertyCase('broadcast_Sum', 'Sum of many tensors', ({ graph, feed, expect }) => {
    const parts = [[], [3, 1], [1, 5], [3, 5], [1]].map((shape, index) => feed(values(shape, -1, 1, 'float32', index + 1)));
    expect('of five', graph.op('Sum', parts));
  }),
  propertyCase('bounds_Clip', 'Clip with one bound, both, none', ({ graph, feed, expect }) => {
    const x = feed(values([70001]));
    expect('both', graph.op('Clip', [x, graph.scalar(-0.5), graph.scalar(1)]));
    expect('low', graph.op('Clip', [x, graph.scalar(-0.5)]));
    expect('high', graph.op('Clip', [x, undefined, graph.scalar(1)]));
    expect('none', graph.op('Clip', [x]));
  }),
  propertyCase('signs_Mod', 'Mod of both kinds', ({ graph, feed, expect }) => {
    const a = given('int64', [4], [7, -7, 7, -7]);
    const b = given('int64', [4], [3, 3, -3, -3]);
    expect('by the divisor', graph.op('Mod', [feed(a), feed(b)]));
    expect('by the dividend', graph.op('Mod', [feed(values([9], -9, 9)), feed(values([9], 1, 4))], { fmod: 1 }));
  }),
  ...['FastGelu', 'QuickGelu', 'Gelu'].map((operator) =>
    propertyCase(`microsoft_${operator}`, `com.microsoft ${operator}`, ({ graph, feed, expect }) => {
      expect('y', graph.op(operator, [feed(values([3, 257], -6, 6))], {}, { domain: 'com.microsoft' }));
    }),
  ),
  propertyCase('ties_Round', 'Round half to even', ({ graph, feed, expect }) => {
    expect('y', graph.op('Round', [feed(given('float32', [8], [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 8388609.5]))]));
  }),
  propertyCase(
    'chain_of_operators',
    'a longer graph whose values are used more than once',
    ({ graph, feed, expect }) => {
      const x = feed(values([33, 65]));
      const y = graph.tanh(graph.add(graph.mul(x, x), graph.neg(x)));
      const z = graph.sub(graph.sigmoid(y), graph.mul(y, graph.exp(graph.neg(graph.op('Abs', [x])))));
      expect('z', z);
      expect('y', y);
      expect('sum', graph.reduceSum(graph.mul(z, y), [0, 1]));
    },
    { ...usual, absolute: 1e-3 },
  ),
];
