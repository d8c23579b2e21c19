import type { BackendCase } from '../backend-case.js';
import { given, longSums, propertyCase, shapeText, usual, values } from './property-case.js';

const reductions: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[7], [0]],
  [[3, 1, 5], [1]],
  [
    [3, 4, 5],
    [0, 2],
  ],
  [[3, 4, 5], [-1]],
  [[0, 4], [1]],
  [[2, 70001], [1]],
  [[70001, 2], [1]],
  [[70001, 2], [0]],
];

const reductionCase = (operator: string): BackendCase =>
  propertyCase(
    `axes_${operator}`,
    `${operator} over single, several, long and empty axes`,
    ({ graph, feed, expect }) => {
      for (const [shape, axes] of reductions) {
        // Around 1 for products, so that they neither vanish nor overflow.
        const x = feed(operator === 'ReduceProd' ? values(shape, 0.9999, 1.0001) : values(shape));
        for (const keep of [0, 1])
          expect(`of ${shapeText(shape)} over ${shapeText(axes)}, keepdims ${String(keep)}`, graph.op(operator, [x, graph.int64(axes)], { keepdims: keep }));
      }
      expect('of everything', graph.op(operator, [feed(values([3, 5], 0.9, 1.1))], { keepdims: 0 }));
    },
    longSums,
  );

const softmaxShapes: readonly (readonly [readonly number[], number])[] = [
  [[1], 0],
  [[1, 1], -1],
  [[3, 5, 7], 1],
  [[3, 5, 7], 0],
  [[0, 4], -1],
  [[2, 70001], -1],
  [[70001, 3], -1],
];

/** Cases of operators that combine elements along axes. */
export const reductionCases: readonly BackendCase[] = [
  ...['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL2', 'ReduceSumSquare'].map(reductionCase),
  ...['Softmax', 'LogSoftmax'].map((operator) =>
    propertyCase(
      `axes_${operator}`,
      `${operator} over short, long and many rows`,
      ({ graph, feed, expect }) => {
        for (const [shape, axis] of softmaxShapes)
          expect(`of ${shapeText(shape)} over ${String(axis)}`, graph.op(operator, [feed(values(shape, -4, 4))], { axis }));
        expect('of large numbers', graph.op(operator, [feed(given('float32', [1, 3], [10000, 10001, 9990]))]));
      },
      { relative: 1e-4, absolute: 1e-6 },
    ),
  ),
  ...['LayerNormalization', 'SimplifiedLayerNormalization'].map((operator) =>
    propertyCase(`rows_${operator}`, `${operator} of many, long, single and no rows`, ({ graph, feed, expect }) => {
      for (const shape of [
        [70001, 3],
        [2, 257],
        [1, 1],
        [0, 4],
        [2, 3, 5, 7],
      ]) {
        const size = shape.at(-1)!;
        const scale = feed(values([size], 0.5, 1.5));
        const inputs = operator === 'LayerNormalization' ? [feed(values(shape)), scale, feed(values([size]))] : [feed(values(shape)), scale];
        expect(`of ${shapeText(shape)}`, graph.op(operator, inputs, { axis: -1, epsilon: 1e-5 }));
      }
    }),
  ),
  propertyCase('ties_ArgMax', 'ArgMax among equal elements', ({ graph, feed, expect }) => {
    const x = feed(given('float32', [2, 4], [1, 3, 3, 0, 5, 5, 5, 5]));
    expect('first', graph.op('ArgMax', [x], { axis: 1, keepdims: 0 }));
    expect('last', graph.op('ArgMax', [x], { axis: 1, keepdims: 1, select_last_index: 1 }));
    expect('of many', graph.op('ArgMax', [feed(values([3, 70001]))], { axis: 1 }));
  }),
  propertyCase('order_TopK', 'TopK of long rows, all of a row, none', ({ graph, feed, expect }) => {
    const x = feed(values([3, 1001]));
    for (const [k, largest] of [
      [10, 1],
      [10, 0],
      [1, 1],
      [1001, 1],
    ] as const) {
      const [kept, positions] = graph.node('TopK', [x, graph.int64([k])], { axis: 1, largest }, { outputs: 2 });
      expect(`values, k ${String(k)}, largest ${String(largest)}`, kept!);
      expect(`positions, k ${String(k)}, largest ${String(largest)}`, positions!);
    }
  }),
  propertyCase(
    'directions_CumSum',
    'CumSum along each axis, both ways',
    ({ graph, feed, expect }) => {
      const x = feed(values([5, 300]));
      for (const [axis, exclusive, reverse] of [
        [0, 0, 0],
        [1, 0, 0],
        [1, 1, 0],
        [1, 0, 1],
        [-2, 1, 1],
      ] as const) {
        const at = graph.scalar(axis, 'int64');
        expect(`axis ${String(axis)}, exclusive ${String(exclusive)}, reverse ${String(reverse)}`, graph.op('CumSum', [x, at], { exclusive, reverse }));
      }
    },
    { ...usual, absolute: 1e-3 },
  ),
  propertyCase('labels_SoftmaxCrossEntropyLoss', 'loss with ignored labels over many rows', ({ graph, feed, expect }) => {
    const scores = feed(values([513, 37], -4, 4));
    const labels = Array.from({ length: 513 }, (_, row) => (row % 10 === 3 ? -100 : (row * 7) % 37));
    const target = feed(given('int64', [513], labels));
    for (const reduction of ['none', 'mean', 'sum']) {
      const [loss] = graph.node('SoftmaxCrossEntropyLoss', [scores, target], { reduction, ignore_index: -100 }, { outputs: 1 });
      expect(reduction, loss!);
    }
  }),
];
