import type { DType, HostTensor } from '@pare/core';
import type { BackendCase } from '../backend-case.js';
import { given, propertyCase, values } from './property-case.js';

const codes = (count: number, dtype: DType, shape: readonly number[], low: number, high: number): HostTensor =>
  given(
    dtype,
    shape,
    Array.from({ length: count }, (_, index) => low + ((index * 7 + (index >> 3)) % (high - low + 1))),
  );

interface NBits {
  readonly bits: number;
  readonly block: number;
  readonly k: number;
  readonly n: number;
  readonly zeroPoints: boolean;
}

const layouts: readonly NBits[] = [
  { bits: 4, block: 32, k: 64, n: 8, zeroPoints: false },
  { bits: 4, block: 32, k: 96, n: 5, zeroPoints: true },
  { bits: 4, block: 16, k: 40, n: 7, zeroPoints: true },
  { bits: 4, block: 128, k: 130, n: 3, zeroPoints: false },
  { bits: 8, block: 32, k: 64, n: 6, zeroPoints: true },
  { bits: 2, block: 32, k: 96, n: 6, zeroPoints: true },
];

const nBitsCase = ({ bits, block, k, n, zeroPoints }: NBits): BackendCase =>
  propertyCase(
    `MatMulNBits_${String(bits)}_block_${String(block)}_k_${String(k)}${zeroPoints ? '_zero_points' : ''}`,
    `com.microsoft MatMulNBits, ${String(bits)} bits, blocks of ${String(block)}, K ${String(k)}, N ${String(n)}`,
    ({ graph, feed, expect }) => {
      const blocks = Math.ceil(k / block);
      const blob = (block * bits) / 8;
      // Weights are constants, as in every exported model.
      const b = graph.constant(codes(n * blocks * blob, 'uint8', [n, blocks, blob], 0, 255));
      const scales = graph.constant(values([n, blocks], 0.01, 0.1));
      const zeroBytes = Math.ceil((blocks * bits) / 8);
      const zeros = zeroPoints ? graph.constant(codes(n * zeroBytes, 'uint8', [n, zeroBytes], 3, 200)) : undefined;
      const attributes = { K: k, N: n, bits, block_size: block };
      for (const rows of [
        [1, 1, k],
        [2, 5, k],
        [17, k],
      ]) {
        expect(`of ${String(rows)}`, graph.op('MatMulNBits', [feed(values(rows)), b, scales, zeros], attributes, { domain: 'com.microsoft' }));
      }
    },
    { relative: 1e-3, absolute: 1e-3 },
  );

/** Cases of operators on integer representations. */
export const quantizedCases: readonly BackendCase[] = [
  ...layouts.map(nBitsCase),
  propertyCase('ties_QuantizeLinear', 'QuantizeLinear rounds half to even and saturates', ({ graph, feed, expect }) => {
    const x = feed(given('float32', [10], [-1000, -2.5, -1.5, -0.5, 0, 0.5, 1.5, 2.5, 3, 1000]));
    const scale = graph.scalar(1);
    for (const dtype of ['uint8', 'int8'] as const) expect(dtype, graph.op('QuantizeLinear', [x, scale, graph.scalar(dtype === 'uint8' ? 128 : 0, dtype)]));
  }),
  propertyCase('channels_QuantizeLinear', 'QuantizeLinear and DequantizeLinear per channel', ({ graph, feed, expect }) => {
    const x = feed(values([3, 5, 7], -3, 3));
    const scale = graph.constant(values([5], 0.02, 0.05));
    const zero = graph.constant(given('uint8', [5], [0, 100, 128, 200, 255]));
    const quantized = graph.op('QuantizeLinear', [x, scale, zero], { axis: 1 });
    expect('codes', quantized);
    expect('values', graph.op('DequantizeLinear', [quantized, scale, zero], { axis: 1 }));
  }),
  ...(['int4', 'uint4'] as const).map((dtype) =>
    propertyCase(`blocks_DequantizeLinear_${dtype}`, `DequantizeLinear of ${dtype} in blocks`, ({ graph, expect }) => {
      const low = dtype === 'int4' ? -8 : 0;
      const weight = graph.constant(codes(6 * 32, dtype, [6, 32], low, low + 15));
      expect(
        'along rows',
        graph.op('DequantizeLinear', [weight, graph.constant(values([6, 2], 0.01, 0.1)), graph.constant(codes(12, dtype, [6, 2], low, low + 15))], {
          axis: 1,
          block_size: 16,
        }),
      );
      expect('per tensor', graph.op('DequantizeLinear', [weight, graph.scalar(0.5)]));
    }),
  ),
  ...(['uint4', 'uint8'] as const).map((dtype) =>
    propertyCase(`GatherBlockQuantized_${dtype}`, `com.microsoft GatherBlockQuantized of ${dtype}`, ({ graph, feed, expect }) => {
      const width = dtype === 'uint8' ? 16 : 32;
      const table = graph.constant(codes(11 * width, dtype, [11, width], 0, dtype === 'uint8' ? 255 : 15));
      const scales = graph.constant(values([11, 2], 0.01, 0.1));
      const zeros = graph.constant(codes(dtype === 'uint8' ? 11 : 22, dtype, [11, dtype === 'uint8' ? 1 : 2], 0, dtype === 'uint8' ? 255 : 15));
      const indices = feed(given('int64', [2, 3], [0, 10, 3, 3, 7, 1]));
      const attributes = { block_size: 16, gather_axis: 0, quantize_axis: 1 };
      expect('with zero points', graph.op('GatherBlockQuantized', [table, indices, scales, zeros], attributes, { domain: 'com.microsoft' }));
      expect('without', graph.op('GatherBlockQuantized', [table, indices, scales], attributes, { domain: 'com.microsoft' }));
    }),
  ),
  propertyCase('ranges_DynamicQuantizeLinear', 'DynamicQuantizeLinear of one-sided and mixed ranges', ({ graph, feed, expect }) => {
    for (const [low, high] of [
      [-3, 5],
      [1, 4],
      [-4, -1],
    ] as const) {
      graph.node('DynamicQuantizeLinear', [feed(values([300], low, high))], {}, { outputs: 3 }).forEach((output, index) => {
        expect(`${['codes', 'scale', 'zero'][index]!} of ${String(low)} to ${String(high)}`, output);
      });
    }
  }),
  propertyCase('sizes_MatMulInteger', 'MatMulInteger with zero points', ({ graph, feed, expect }) => {
    const a = feed(codes(5 * 33, 'uint8', [5, 33], 0, 255));
    const b = feed(codes(33 * 7, 'uint8', [33, 7], 0, 255));
    expect('plain', graph.op('MatMulInteger', [a, b]));
    expect('with zero points', graph.op('MatMulInteger', [a, b, graph.scalar(128, 'uint8'), graph.scalar(3, 'uint8')]));
  }),
];
