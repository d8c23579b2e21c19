import type { BackendCase } from '../backend-case.js';
import { given, propertyCase } from './property-case.js';

const special = [NaN, Infinity, -Infinity, 0, -0, 1, -1, 3e38];

/** NaN and infinities must come out as IEEE arithmetic has them, and stay in their own rows. */
export const specialValueCases: readonly BackendCase[] = [
  ...['Abs', 'Neg', 'Exp', 'Sqrt', 'Tanh', 'Sigmoid', 'Log', 'Reciprocal'].map((operator) =>
    propertyCase(`special_${operator}`, `${operator} of NaN, infinities and zeros`, ({ graph, feed, expect }) => {
      expect('y', graph.op(operator, [feed(given('float32', [special.length], special))]));
    }),
  ),
  ...['Add', 'Sub', 'Mul', 'Div', 'Equal', 'Less', 'GreaterOrEqual'].map((operator) =>
    propertyCase(`special_${operator}`, `${operator} of every pair of NaN, infinities and zeros`, ({ graph, feed, expect }) => {
      expect('y', graph.op(operator, [feed(given('float32', [special.length, 1], special)), feed(given('float32', [special.length], special))]));
    }),
  ),
  propertyCase('special_MatMul', 'MatMul: NaN and infinity reach their row only, and Inf · 0 is NaN', ({ graph, feed, expect }) => {
    const a = feed(given('float32', [4, 3], [1, 2, 3, NaN, 0, 0, Infinity, 1, 1, 0, 0, 0]));
    const b = feed(given('float32', [3, 5], [0, 1, -1, 2, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, Infinity]));
    expect('y', graph.matmul(a, b));
  }),
  propertyCase('special_ReduceSum', 'ReduceSum: NaN and infinity reach their row only', ({ graph, feed, expect }) => {
    expect('y', graph.reduceSum(feed(given('float32', [4, 3], [1, NaN, 2, Infinity, 1, 2, Infinity, -Infinity, 0, 1, 2, 3])), [1]));
  }),
  propertyCase('special_Softmax', 'Softmax: NaN fills its row, −∞ gets no weight', ({ graph, feed, expect }) => {
    expect('y', graph.softmax(feed(given('float32', [3, 3], [1, NaN, 2, -Infinity, 1, 2, 1, 2, 3])), -1));
  }),
  propertyCase('special_Where', 'Where keeps NaN out when it is not chosen', ({ graph, feed, expect }) => {
    const x = feed(given('float32', [4], [NaN, 1, Infinity, 2]));
    expect('y', graph.where(graph.equal(x, x), x, graph.scalar(0)));
  }),
  ...(['float16', 'bfloat16'] as const).map((dtype) =>
    propertyCase(`special_${dtype}`, `Cast of NaN, infinities and too large numbers to ${dtype}`, ({ graph, feed, expect }) => {
      expect('y', graph.cast(graph.cast(feed(given('float32', [5], [NaN, Infinity, -Infinity, -0, 3.4e38])), dtype), 'float32'));
    }),
  ),
];
