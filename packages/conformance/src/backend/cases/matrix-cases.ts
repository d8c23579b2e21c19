import type { BackendCase } from '../backend-case.js';
import { longSums, propertyCase, shapeText, values } from './property-case.js';

const products: readonly (readonly [readonly number[], readonly number[]])[] = [
  [
    [1, 1],
    [1, 1],
  ],
  [
    [7, 13],
    [13, 5],
  ],
  [
    [1, 257],
    [257, 129],
  ],
  [
    [65, 3],
    [3, 33],
  ],
  [
    [0, 3],
    [3, 2],
  ],
  [[5], [5]],
  [[5], [5, 3]],
  [[4, 5], [5]],
  [
    [2, 3, 5],
    [5, 4],
  ],
  [
    [2, 1, 5, 7],
    [1, 3, 7, 4],
  ],
];

/** Cases of matrix products. */
export const matrixCases: readonly BackendCase[] = [
  propertyCase('sizes_MatMul', 'MatMul of odd, tiny, empty and batched operands', ({ graph, feed, expect }) => {
    for (const [a, b] of products) expect(`${shapeText(a)} by ${shapeText(b)}`, graph.matmul(feed(values(a)), feed(values(b, -2, 2, 'float32', 2))));
  }),
  propertyCase('empty_sum_MatMul', 'MatMul over an inner size of 0 is all zeros', ({ graph, feed, expect }) => {
    expect('y', graph.matmul(feed(values([2, 0])), feed(values([0, 3]))));
  }),
  propertyCase('many_batches_MatMul', 'MatMul of 70,001 small pairs', ({ graph, feed, expect }) => {
    expect('y', graph.matmul(feed(values([70001, 1, 2])), feed(values([70001, 2, 1]))));
  }),
  propertyCase(
    'long_sum_MatMul',
    'MatMul over an inner size of 70,001',
    ({ graph, feed, expect }) => {
      expect('y', graph.matmul(feed(values([3, 70001])), feed(values([70001, 2]))));
    },
    longSums,
  ),
  propertyCase('transposes_Gemm', 'Gemm with every transposition, bias and factor', ({ graph, feed, expect }) => {
    const bias = feed(values([5]));
    for (const [transA, transB] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ] as const) {
      const a = feed(values(transA ? [9, 7] : [7, 9]));
      const b = feed(values(transB ? [5, 9] : [9, 5], -2, 2, 'float32', 2));
      expect(`transA ${String(transA)}, transB ${String(transB)}`, graph.gemm(a, b, bias, { transA, transB, alpha: 0.5, beta: 2 }));
    }
    expect('without bias', graph.gemm(feed(values([1, 3])), feed(values([3, 1]))));
  }),
  propertyCase('transposes_FusedMatMul', 'com.microsoft FusedMatMul with transpositions and a factor', ({ graph, feed, expect }) => {
    for (const [transA, transB] of [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ] as const) {
      const a = feed(values(transA === 1 ? [2, 9, 7] : [2, 7, 9]));
      const b = feed(values(transB === 1 ? [2, 5, 9] : [2, 9, 5], -2, 2, 'float32', 2));
      expect(
        `transA ${String(transA)}, transB ${String(transB)}`,
        graph.op('FusedMatMul', [a, b], { alpha: 0.125, transA, transB }, { domain: 'com.microsoft' }),
      );
    }
  }),
  propertyCase('groups_Conv', 'Conv with groups, dilation and stride', ({ graph, feed, expect }) => {
    const x = feed(values([2, 4, 11, 9]));
    expect(
      'grouped',
      graph.op('Conv', [x, feed(values([6, 2, 3, 3])), feed(values([6]))], { group: 2, pads: [1, 1, 1, 1], dilations: [2, 1], strides: [1, 2] }),
    );
    expect('per channel', graph.op('Conv', [x, feed(values([4, 1, 3, 3]))], { group: 4 }));
    expect('1-D', graph.op('Conv', [feed(values([1, 3, 70])), feed(values([5, 3, 4]))], { strides: [3] }));
  }),
];
