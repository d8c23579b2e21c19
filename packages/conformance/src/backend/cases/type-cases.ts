import type { DType } from '@pare/core';
import type { Value } from '@pare/graph';
import type { BackendCase } from '../backend-case.js';
import { given, propertyCase, values, type CaseBuilder } from './property-case.js';

/** Values that every type can hold after rounding: ties, signs left out for the unsigned ones. */
const castSources: Readonly<Record<string, readonly number[]>> = {
  signed: [-3.75, -1.5, -1, -0.25, 0, 0.5, 1, 2.5, 6.25],
  unsigned: [0, 0.25, 0.5, 1, 2.5, 3.75, 6.25, 7, 5.5],
};

const castCase = (dtype: DType): BackendCase =>
  propertyCase(`cast_${dtype}`, `Cast from float32 to ${dtype} and back`, ({ graph, feed, expect }) => {
    const signed = dtype.startsWith('int') || dtype.includes('float');
    // The 4-bit types round where the others truncate, and runtimes differ on ties: whole numbers for them.
    const source = (signed ? castSources['signed']! : castSources['unsigned']!).map((value) => (dtype.endsWith('int4') ? Math.trunc(value) : value));
    const there = graph.cast(feed(given('float32', [9], source)), dtype);
    expect('there', there);
    expect('back', graph.cast(there, 'float32'));
  });

const arithmeticCase = (dtype: DType, operators: string, recipe: (builder: CaseBuilder, x: Value, y: Value) => void): BackendCase =>
  propertyCase(
    `${dtype}_${operators}`,
    `${operators} in ${dtype}`,
    (builder) => {
      recipe(builder, builder.feed(values([5, 33], -2, 2, dtype)), builder.feed(values([33, 7], -2, 2, dtype, 2)));
    },
    dtype === 'float64' ? { relative: 1e-10, absolute: 1e-12 } : { relative: dtype === 'float16' ? 4e-3 : 3e-2, absolute: dtype === 'float16' ? 1e-2 : 0.1 },
  );

const narrowFloats: readonly DType[] = ['float16', 'bfloat16', 'float64'];

/** Cases of element types. */
export const typeCases: readonly BackendCase[] = [
  ...(['float64', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint64', 'uint32', 'uint16', 'uint8', 'bool', 'int4', 'uint4'] as const).map(
    castCase,
  ),
  ...narrowFloats.flatMap((dtype) => [
    arithmeticCase(dtype, 'MatMul', ({ graph, expect }, x, y) => {
      expect('product', graph.matmul(x, y));
    }),
    arithmeticCase(dtype, 'Add_Mul', ({ graph, expect }, x) => {
      expect('sum', graph.add(x, x));
      expect('product', graph.mul(x, x));
    }),
    arithmeticCase(dtype, 'Softmax', ({ graph, expect }, x) => {
      expect('y', graph.softmax(x));
    }),
    arithmeticCase(dtype, 'ReduceMean', ({ graph, expect }, x) => {
      expect('y', graph.reduceMean(x, [1]));
    }),
    arithmeticCase(dtype, 'Transpose_Gather', ({ graph, expect }, x) => {
      expect('transposed', graph.transpose(x, [1, 0]));
      expect('gathered', graph.gather(x, graph.int64([4, 0]), 0));
    }),
  ]),
  propertyCase('exact_int64', 'int64 beyond what a double holds', ({ graph, feed, expect }) => {
    const x = feed({ dtype: 'int64', shape: [3], data: BigInt64Array.of(9007199254740993n, -9223372036854775808n, 9223372036854775807n) });
    expect('moved', graph.op('Identity', [x]));
    expect('added', graph.add(x, graph.int64([2])));
    expect('compared', graph.equal(x, graph.int64([Number.MIN_SAFE_INTEGER])));
  }),
  propertyCase('wrap_casts', 'integers narrow by dropping high bits', ({ graph, feed, expect }) => {
    const x = feed(given('int32', [4], [300, -1, 65537, -129]));
    expect('uint8', graph.cast(x, 'uint8'));
    expect('int8', graph.cast(x, 'int8'));
    expect('bool', graph.cast(x, 'bool'));
  }),
];
