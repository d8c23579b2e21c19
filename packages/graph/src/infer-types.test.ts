import { float32Tensor, int64Tensor, isPareError, type Dimension } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from './builder.js';
import { inferTypes } from './infer-types.js';

function shapeAfter(build: (builder: GraphBuilder) => Value): readonly Dimension[] | undefined {
  return build(new GraphBuilder('test')).shape;
}

/** The message of the PARE_GRAPH_INVALID that `action` throws. */
function problem(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isPareError(error) && error.code === 'PARE_GRAPH_INVALID') return error.message;
    throw error;
  }
  return 'nothing was thrown';
}

describe('known values of small integer tensors', () => {
  it('carry sizes from Shape through Gather, Concat and Reshape', () => {
    const shape = shapeAfter((b) => {
      const x = b.input('x', 'float32', ['batch_size', 'sequence_length', 576]);
      const all = b.shapeOf(x);
      const batch = b.unsqueeze(b.gather(all, b.constant(int64Tensor([], [0]))), [0]);
      const sequence = b.slice(all, 0, 1, 2);
      return b.transpose(b.reshape(x, [batch, sequence, 9, 64]), [0, 2, 1, 3]);
    });
    expect(shape).toEqual(['batch_size', 9, 'sequence_length', 64]);
  });

  it('resolve −1 by dividing symbolic products', () => {
    expect(shapeAfter((b) => b.reshape(b.input('x', 'float32', ['batch_size', 'sequence_length', 576]), [0, -1, 64]))).toEqual(['batch_size', '9*sequence_length', 64]);
    expect(shapeAfter((b) => b.reshape(b.input('x', 'float32', ['n', 12, 64]), [-1, 768]))).toEqual(['n', 768]);
    expect(shapeAfter((b) => b.reshape(b.input('x', 'float32', ['n', 5]), [2, -1]))).toEqual([2, 'unknown_Reshape_1_1']);
  });

  it('do arithmetic on sizes', () => {
    const shape = shapeAfter((b) => {
      const past = b.input('past', 'float32', ['batch_size', 3, 'past_sequence_length', 64]);
      const now = b.input('now', 'float32', ['batch_size', 3, 'sequence_length', 64]);
      const total = b.add(b.shapeOf(past, 2, 3), b.shapeOf(now, 2, 3));
      return b.expand(b.scalar(0), [b.shapeOf(now, 0, 1), 1, b.shapeOf(now, 2, 3), total]);
    });
    expect(shape).toEqual(['batch_size', 1, 'sequence_length', 'past_sequence_length + sequence_length']);
  });

  it('agree with concatenated caches', () => {
    const shape = shapeAfter((b) => {
      const past = b.input('past', 'float32', ['batch_size', 3, 'past_sequence_length', 64]);
      const now = b.input('now', 'float32', ['batch_size', 3, 'sequence_length', 64]);
      return b.concat([past, now], 2);
    });
    expect(shape).toEqual(['batch_size', 3, 'past_sequence_length + sequence_length', 64]);
  });

  it('pass through Where, Equal, ConstantOfShape and casts, as exported Expand does', () => {
    const shape = shapeAfter((b) => {
      const x = b.input('x', 'float32', ['n', 1]);
      const wanted = b.concat([b.shapeOf(x, 0, 1), b.int64([7])], 0);
      const ones = b.op('ConstantOfShape', [b.int64([2])], { value: int64Tensor([1], [1]) });
      const minusOne = b.mul(ones, b.int64([-1]));
      const chosen = b.where(b.equal(wanted, minusOne), ones, wanted);
      return b.expand(x, b.cast(b.cast(chosen, 'int32'), 'int64'));
    });
    expect(shape).toEqual(['n', 7]);
  });

  it('give the length of ranges and the number of elements', () => {
    expect(
      shapeAfter((b) => {
        const x = b.input('x', 'float32', ['n', 'past']);
        const scalar = (axis: number): Value => b.squeeze(b.shapeOf(x, axis, axis + 1), [0]);
        return b.op('Range', [scalar(1), b.add(scalar(0), scalar(1)), b.constant(int64Tensor([], [1]))]);
      }),
    ).toEqual(['n']);
    expect(
      shapeAfter((b) => {
        const x = b.input('x', 'float32', ['n', 3, 4]);
        return b.reshape(x, b.reshape(b.op('ReduceProd', [b.shapeOf(x)], { keepdims: 0 }), [1]));
      }),
    ).toEqual(['12*n']);
  });

  it('survive an unknown neighbour', () => {
    const shape = shapeAfter((b) => {
      const x = b.input('x', 'float32', ['n', 8]);
      const free = b.input('size', 'int64', [1]);
      return b.reshape(x, [b.shapeOf(x, 0, 1), free]);
    });
    expect(shape).toEqual(['n', 'unknown_Reshape_1_1']);
  });
});

describe('slices of symbolic axes', () => {
  const slice = (size: Dimension, start: number | Value, end?: number | Value): Dimension => {
    const b = new GraphBuilder('slice');
    return b.slice(b.input('x', 'float32', [size]), 0, start, end).shape![0]!;
  };

  it('count from either end', () => {
    expect(slice(10, 2, 5)).toBe(3);
    expect(slice(10, -3)).toBe(3);
    expect(slice(10, 5, -7)).toBe(0);
    expect(slice('n', 0)).toBe('n');
    expect(slice('n', 0, 4)).toBe('min(4, n)');
    expect(slice('n', -1)).toBe('min(1, n)');
    expect(slice('n', 2)).toBe('max(0, n - 2)');
  });

  it('take symbolic bounds', () => {
    const b = new GraphBuilder('slice');
    const now = b.input('now', 'float32', ['s']);
    const table = b.input('table', 'float32', ['p + s', 4]);
    expect(b.slice(table, 0, 0, b.shapeOf(now)).shape).toEqual(['s', 4]);
    expect(b.slice(table, 0, b.shapeOf(now)).shape).toEqual(['p', 4]);
  });
});

describe('broadcasting', () => {
  it('keeps symbols apart that need not be equal', () => {
    const b = new GraphBuilder('test');
    const x = b.input('x', 'float32', ['batch', 'heads', 's', 't']);
    const mask = b.input('mask', 'float32', ['batch', 1, 's', 'total']);
    expect(b.add(x, mask).shape).toEqual(['batch', 'heads', 's', 'max(t, total)']);
    expect(b.add(x, 1).shape).toEqual(['batch', 'heads', 's', 't']);
  });

  it('covers matrix products', () => {
    const b = new GraphBuilder('test');
    const q = b.input('q', 'float32', ['batch', 9, 's', 64]);
    const k = b.input('k', 'float32', ['batch', 9, 64, 't']);
    expect(b.matmul(q, k).shape).toEqual(['batch', 9, 's', 't']);
    const vector = b.input('v', 'float32', [64]);
    expect(b.matmul(q, vector).shape).toEqual(['batch', 9, 's']);
    expect(b.matmul(vector, k).shape).toEqual(['batch', 9, 't']);
  });
});

describe('convolutions over symbolic sizes', () => {
  it('write the formula', () => {
    const b = new GraphBuilder('test');
    const x = b.input('x', 'float32', ['n', 3, 'height', 224]);
    const w = b.initializer('w', float32Tensor([8, 3, 3, 3]));
    expect(b.op('Conv', [x, w], { strides: [2, 2], pads: [1, 1, 1, 1] }).shape).toEqual(['n', 8, 'floor((height - 1) / 2) + 1', 112]);
    expect(b.op('Conv', [x, w], { strides: [2, 2], auto_pad: 'SAME_UPPER' }).shape).toEqual(['n', 8, 'floor((height + 1) / 2)', 112]);
    expect(b.op('GlobalAveragePool', [x]).shape).toEqual(['n', 3, 1, 1]);
  });
});

describe('older forms', () => {
  it('take axes, sizes and bounds from attributes', () => {
    const b = new GraphBuilder('test', { opsets: { '': 9 } });
    const x = b.input('x', 'float32', ['n', 1, 10]);
    expect(b.op('Squeeze', [x], { axes: [1] }).shape).toEqual(['n', 10]);
    expect(b.op('Unsqueeze', [x], { axes: [0, -1] }).shape).toEqual([1, 'n', 1, 10, 1]);
    expect(b.op('ReduceSum', [x], { axes: [2], keepdims: 0 }).shape).toEqual(['n', 1]);
    expect(b.op('Slice', [x], { starts: [1], ends: [2147483647], axes: [2] }).shape).toEqual(['n', 1, 9]);
    expect(b.op('Clip', [x], { min: 0, max: 6 }).shape).toEqual(['n', 1, 10]);
    expect(b.op('Pad', [x], { pads: [0, 0, 2, 0, 0, 3], value: 0 }).shape).toEqual(['n', 1, 15]);
    expect(b.node('Split', [x], { axis: 2, split: [4, 6] }, { outputs: 2 }).map((part) => part.shape)).toEqual([
      ['n', 1, 4],
      ['n', 1, 6],
    ]);
    expect(b.node('TopK', [x], { k: 3 }, { outputs: 2 }).map((part) => part.shape)).toEqual([
      ['n', 1, 3],
      ['n', 1, 3],
    ]);
    expect(b.op('Reshape', [x], { shape: [-1, 5] }).shape).toEqual(['2*n', 5]);
  });
});

describe('errors', () => {
  const make = (): { b: GraphBuilder; x: Value; i: Value } => {
    const b = new GraphBuilder('broken');
    return { b, x: b.input('x', 'float32', ['n', 4]), i: b.input('i', 'int64', [2]) };
  };

  it.each([
    ['unknown operator', ({ b, x }: ReturnType<typeof make>) => b.op('Matmul', [x, x]), 'did you mean MatMul?'],
    ['operator of another domain', ({ b, x }) => b.op('FastGelu', [x]), 'did you mean com.microsoft::FastGelu?'],
    ['too few inputs', ({ b, x }) => b.op('Add', [x]), 'has 1 inputs, takes 2'],
    ['too many inputs', ({ b, x }) => b.op('Relu', [x, x]), 'has 2 inputs, takes 1'],
    ['missing required input', ({ b, x }) => b.op('Where', [undefined, x, x]), 'input 0 (condition) is required'],
    ['too many outputs', ({ b, x }) => b.node('Relu', [x], {}, { outputs: 2 }), 'has 2 outputs, makes 1'],
    ['unknown attribute', ({ b, x }) => b.op('Softmax', [x], { axes: [1] }), 'has no attribute "axes"; it has axis'],
    ['attribute of another kind', ({ b, x }) => b.op('Softmax', [x], { axis: 0.5 }), 'attribute "axis" must be of kind int, is float'],
    ['attribute value', ({ b, x }) => b.op('Gelu', [x], { approximate: 'sigmoid' }), 'allowed: "none", "tanh"'],
    ['missing attribute', ({ b, x }) => b.op('Concat', [x, x]), 'attribute "axis" is required'],
    ['element types that differ', ({ b, x, i }) => b.op('Add', [x, i]), 'input 1 (B) is int64, expected float32'],
    ['element type not allowed', ({ b, i }) => b.op('Exp', [i]), 'input 0 (X) is int64; allowed: float16'],
    ['shapes that do not broadcast', ({ b, x }) => b.add(x, b.constant(float32Tensor([3]))), '[n, 4] and [3] do not broadcast'],
    ['inner sizes', ({ b, x }) => b.matmul(x, b.constant(float32Tensor([3, 2]))), 'inner sizes of [n, 4] and [3, 2] differ'],
    ['axis out of range', ({ b, x }) => b.softmax(x, 2), 'axis 2 is outside [-2, 1]'],
    ['element count', ({ b }) => b.reshape(b.constant(float32Tensor([6])), [4]), '[6] has 6 elements, [4] has 4'],
    ['indivisible rest', ({ b }) => b.reshape(b.constant(float32Tensor([6])), [4, -1]), '6 elements do not divide by 4'],
    ['permutation', ({ b, x }) => b.transpose(x, [0, 0]), 'perm [0, 0] is no permutation'],
    ['index out of range', ({ b, x }) => b.gather(x, b.int64([4]), 1), 'index 4 is outside axis 1 of [n, 4]'],
    ['concatenation', ({ b, x }) => b.concat([x, b.constant(float32Tensor([1, 3]))], 0), 'axis 1 of inputs 0 and 1: 4 and 3 differ'],
    ['split sizes', ({ b, x }) => b.split(x, 1, [1, 2]), 'sizes [1, 2] do not add up to 4'],
    ['squeezed axis', ({ b, x }) => b.squeeze(x, [1]), 'axis 1 of [n, 4] is not 1'],
    ['cast to a string', ({ b, x }) => b.op('Cast', [x], { to: 8 }), 'casts to string, which is not supported'],
    ['block size', ({ b, x }) => b.op('MatMulNBits', [x, b.input('w', 'uint8', [2, 1, 8]), b.input('s', 'float32', [2])], { K: 4, N: 2, block_size: 24 }, { domain: 'com.microsoft' }), 'block_size is 24'],
  ] satisfies [string, (graph: ReturnType<typeof make>) => unknown, string][])('%s', (_, action, expected) => {
    expect(problem(() => action(make()))).toContain(expected);
  });

  it('name the graph and the node', () => {
    const { b, x } = make();
    expect(problem(() => b.op('Softmax', [x], { axis: 7 }, { name: 'layers.3/probabilities' }))).toBe(
      'graph "broken", node "layers.3/probabilities" (Softmax): axis 7 is outside [-2, 1]',
    );
  });
});

describe('inferTypes', () => {
  const build = (): ReturnType<GraphBuilder['build']> => {
    const b = new GraphBuilder('net');
    const x = b.input('x', 'float32', ['n', 4]);
    const y = b.relu(b.matmul(x, b.initializer('w', float32Tensor([4, 2]))));
    b.output(y, 'y');
    return b.build();
  };

  it('types every value', () => {
    const types = inferTypes(build());
    expect(types.get('w')).toEqual({ dtype: 'float32', shape: [4, 2] });
    expect(types.get('MatMul_1')).toEqual({ dtype: 'float32', shape: ['n', 2] });
    expect(types.get('y')).toEqual({ dtype: 'float32', shape: ['n', 2] });
  });

  it('takes the shapes of a run', () => {
    expect(inferTypes(build(), { inputShapes: { x: [5, 4] } }).get('y')?.shape).toEqual([5, 2]);
    expect(() => inferTypes(build(), { inputShapes: { x: [5, 3] } })).toThrow(expect.objectContaining({ code: 'PARE_TENSOR_MISMATCH' }) as Error);
  });

  it('holds declared outputs against inferred ones', () => {
    const graph = build();
    expect(problem(() => inferTypes({ ...graph, outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 3] }] }))).toContain('declared [n, 3], the graph makes [n, 2]');
    expect(problem(() => inferTypes({ ...graph, outputs: [{ name: 'y', dtype: 'float16', shape: ['n', 2] }] }))).toContain('declared float16, the graph makes float32');
    expect(problem(() => inferTypes({ ...graph, outputs: [{ name: 'z', dtype: 'float32', shape: [] }] }))).toContain('produced by no node');
    expect(inferTypes({ ...graph, outputs: [{ name: 'y', dtype: 'float32', shape: [8, 2] }] }).get('y')?.shape).toEqual([8, 2]);
  });

  it('uses declared names for sizes only a run can tell', () => {
    const b = new GraphBuilder('net');
    const k = b.input('k', 'int64', [1]);
    const [values] = b.node('TopK', [b.input('x', 'float32', [10]), k], {}, { outputs: 2 });
    b.output(values!, 'best');
    const graph = b.build();
    expect(inferTypes({ ...graph, outputs: [{ name: 'best', dtype: 'float32', shape: ['k'] }] }).get('best')?.shape).toEqual(['k']);
  });
});
