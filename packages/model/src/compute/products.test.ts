import { float32Tensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { matrixProducts } from './products.js';

describe('matrixProducts', () => {
  it('multiplies the output by the inner length, batches included', () => {
    const builder = new GraphBuilder('g');
    const a = builder.input('a', 'float32', [2, 1, 3, 5]);
    const b = builder.input('b', 'float32', [7, 5, 4]);
    builder.output(builder.relu(builder.matmul(a, b)), 'y');
    expect(matrixProducts(builder.build())).toEqual([{ macs: 2 * 7 * 3 * 4 * 5, weight: 'b' }]);
  });

  it('knows a weight behind a transposition, and a transposed Gemm', () => {
    const builder = new GraphBuilder('g');
    const x = builder.input('x', 'float32', [5, 3]);
    const w = builder.initializer('w', float32Tensor([4, 5]));
    const y = builder.op('Gemm', [x, builder.transpose(w, [1, 0])], { transA: 1 });
    builder.output(builder.matmul(y, builder.transpose(y, [1, 0])), 'z');
    expect(matrixProducts(builder.build())).toEqual([
      { macs: 3 * 4 * 5, weight: 'w' },
      { macs: 3 * 3 * 4, weight: undefined },
    ]);
  });

  it('refuses sizes that only a run can tell', () => {
    const builder = new GraphBuilder('g');
    builder.output(builder.matmul(builder.input('x', 'float32', ['n', 3]), builder.input('w', 'float32', [3, 2])), 'y');
    expect(() => matrixProducts(builder.build())).toThrow('not known before the graph runs: n');
  });
});
