import { float32Tensor, int64Tensor } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { traceGroups, type DependencyGraph } from './index.js';

/** Slices of the group of one index, as `tensor axis: start+length …`. */
function slicesOf(graph: DependencyGraph, tensor: string, axis: number, index: number): string[] {
  return graph.groupOf(tensor, axis, index).slices.map(
    (slice) => `${slice.tensor} ${String(slice.axis)}: ${slice.runs.map(({ start, length }) => `${String(start)}+${String(length)}`).join(' ')}`,
  );
}

/** Builds a graph on x [rows, 24] from weights by shape, and traces it. */
function traced(build: (builder: GraphBuilder, x: Value, weight: (name: string, ...shape: number[]) => Value) => Value): DependencyGraph {
  const builder = new GraphBuilder('test');
  const x = builder.input('x', 'float32', ['rows', 24]);
  builder.output(build(builder, x, (name, ...shape) => builder.initializer(name, float32Tensor(shape))), 'y');
  return traceGroups(builder.build());
}

describe('traceGroups', () => {
  it('couples a row with its bias and the column that reads it', () => {
    const graph = traced((b, x, weight) => b.matmul(b.relu(b.add(b.matmul(x, weight('up', 24, 10)), weight('bias', 10))), weight('down', 10, 3)));
    expect(slicesOf(graph, 'down', 0, 4)).toEqual(['up 1: 4+1', 'bias 0: 4+1', 'down 0: 4+1']);
    expect(() => graph.groupOf('down', 1, 0)).toThrow(expect.objectContaining({ code: 'PARE_SLICE_FIXED' }) as Error);
    expect(() => graph.groupOf('up', 0, 0)).toThrow(/input "x"/);
    expect(() => graph.groupOf('down', 2, 0)).toThrow(expect.objectContaining({ code: 'PARE_SLICE_UNKNOWN' }) as Error);
    expect(() => graph.groupOf('down', 0, 10)).toThrow(/no index 10 on axis 0/);
    expect(() => graph.groupOf('dawn', 0, 0)).toThrow(expect.objectContaining({ code: 'PARE_TENSOR_UNKNOWN' }) as Error);
  });

  it('starts at activations, too', () => {
    const builder = new GraphBuilder('test');
    const hidden = builder.matmul(builder.input('x', 'float32', ['rows', 4]), builder.initializer('up', float32Tensor([4, 5])));
    builder.output(builder.matmul(hidden, builder.initializer('down', float32Tensor([5, 2]))), 'y');
    const graph = traceGroups(builder.build());
    expect(slicesOf(graph, hidden.name, 1, 3)).toEqual(['up 1: 3+1', 'down 0: 3+1']);
    expect(() => graph.groupOf(hidden.name, 0, 0)).toThrow(/input "x"/);
  });

  it('treats inputs that hold weights as weights', () => {
    const builder = new GraphBuilder('test');
    const up = builder.input('up', 'float32', [4, 5]);
    const down = builder.input('down', 'float32', [5, 2]);
    builder.output(builder.matmul(builder.matmul(builder.input('x', 'float32', ['rows', 4]), up), down), 'y');
    expect(slicesOf(traceGroups(builder.build(), { parameters: ['up', 'down'] }), 'up', 1, 2)).toEqual(['up 1: 2+1', 'down 0: 2+1']);
    expect(() => traceGroups(builder.build()).groupOf('up', 1, 2)).toThrow(/input "up"/);
  });

  it('removes a factor of a reshaped axis as a whole', () => {
    // 24 features as 4 heads of 6, or by unitsOf one of 6 channels of every head.
    const graph = traced((b, x, weight) => {
      const heads = b.transpose(b.reshape(b.matmul(x, weight('in', 24, 24)), [-1, 4, 6]), [1, 0, 2]);
      return b.matmul(b.reshape(b.transpose(heads, [1, 0, 2]), [-1, 24]), weight('out', 24, 3));
    });
    expect(slicesOf(graph, 'in', 1, 13)).toEqual(['in 1: 12+6', 'out 0: 12+6']);
    const [head, channel] = graph.unitsOf('in', 1, 13);
    expect([head?.index, channel?.index]).toEqual([2, 1]);
    expect(graph.group([channel!]).slices[1]).toEqual({ tensor: 'out', axis: 0, runs: [1, 7, 13, 19].map((start) => ({ start, length: 1 })) });
  });

  it('cuts factors that overlap into common ones', () => {
    const graph = traced((b, x, weight) => {
      const y = b.matmul(x, weight('in', 24, 32));
      const left = b.mul(b.reshape(y, [-1, 8, 4]), weight('eight', 8, 1));
      const right = b.mul(b.reshape(y, [-1, 2, 16]), weight('sixteen', 16));
      return b.add(b.reduceSum(left, [1, 2]), b.reduceSum(right, [1, 2]));
    });
    // 8×4 and 2×16 are 2×4×4.
    expect(graph.axes.filter(({ members }) => members.some(({ tensor }) => tensor === 'in')).map(({ size }) => size)).toEqual([24, 2, 4, 4]);
    expect(slicesOf(graph, 'sixteen', 0, 5)).toEqual(['in 1: 4+4 20+4', 'eight 0: 1+1 5+1', 'sixteen 0: 4+4']);
  });

  it('fixes axes that are enumerated in ways that do not go together', () => {
    const graph = traced((b, x, weight) => {
      const y = b.matmul(x, weight('in', 24, 24));
      return b.add(b.reduceSum(b.mul(b.reshape(y, [-1, 6, 4]), weight('six', 6, 1)), [1, 2]), b.reduceSum(b.mul(b.reshape(y, [-1, 4, 6]), weight('four', 4, 1)), [1, 2]));
    });
    expect(() => graph.groupOf('in', 1, 0)).toThrow(/mixes indices/);
    expect(() => graph.groupOf('four', 0, 0)).toThrow(/mixes indices/);
  });

  it('follows joined and cut axes with different boundaries', () => {
    const graph = traced((b, x, weight) => {
      const both = b.concat([b.matmul(x, weight('a', 24, 5)), b.matmul(x, weight('b', 24, 7))], 1);
      const [first, second] = b.split(both, 1, [9, 3]);
      return b.add(b.matmul(first!, weight('c', 9, 2)), b.matmul(second!, weight('d', 3, 2)));
    });
    expect(slicesOf(graph, 'a', 1, 4)).toEqual(['a 1: 4+1', 'c 0: 4+1']);
    expect(slicesOf(graph, 'b', 1, 3)).toEqual(['b 1: 3+1', 'c 0: 8+1']);
    expect(slicesOf(graph, 'b', 1, 4)).toEqual(['b 1: 4+1', 'd 0: 0+1']);
  });

  it('splits a fused product whose parts are multiplied with each other', () => {
    const graph = traced((b, x, weight) => {
      const [gate, up] = b.split(b.matmul(x, weight('fused', 24, 12)), 1, [6, 6]);
      return b.matmul(b.mul(b.sigmoid(gate!), up!), weight('down', 6, 3));
    });
    expect(slicesOf(graph, 'down', 0, 2)).toEqual(['fused 1: 2+1 8+1', 'down 0: 2+1']);
  });

  it('keeps heads of a fused matrix apart that is cut after it was reshaped', () => {
    const graph = traced((b, x, weight) => {
      const heads = b.reshape(b.concat([b.matmul(x, weight('q', 24, 8)), b.matmul(x, weight('k', 24, 4))], 1), [0, 6, 2]);
      const [query, key] = b.split(heads, 1, [4, 2]);
      return b.add(b.reduceSum(b.mul(query!, weight('s', 4, 1)), [1, 2]), b.reduceSum(b.mul(key!, weight('t', 2, 1)), [1, 2]));
    });
    expect(slicesOf(graph, 's', 0, 3)).toEqual(['q 1: 6+2', 's 0: 3+1']);
    expect(slicesOf(graph, 't', 0, 1)).toEqual(['k 1: 2+2', 't 0: 1+1']);
  });

  it('takes parts by Slice, and pads', () => {
    const graph = traced((b, x, weight) => {
      const y = b.matmul(x, weight('in', 24, 10));
      const padded = b.op('Pad', [b.slice(y, 1, 2, -1), b.int64([0, 1, 0, 2])]);
      return b.matmul(padded, weight('out', 10, 3));
    });
    expect(slicesOf(graph, 'in', 1, 2)).toEqual(['in 1: 2+1', 'out 0: 1+1']);
    expect(slicesOf(graph, 'in', 1, 9)).toEqual(['in 1: 9+1']);
    expect(slicesOf(graph, 'out', 0, 9)).toEqual(['out 0: 9+1']);
  });

  it('removes groups of grouped convolutions whole and filters of depthwise ones singly', () => {
    const builder = new GraphBuilder('test');
    const x = builder.matmul(builder.initializer('in', float32Tensor([6, 3])), builder.reshape(builder.input('x', 'float32', ['batch', 3, 16]), [0, 3, 16]));
    const image = builder.reshape(x, [0, 6, 4, 4]);
    const grouped = builder.op('Conv', [image, builder.initializer('grouped', float32Tensor([4, 3, 1, 1]))], { group: 2 });
    const depthwise = builder.op('Conv', [grouped, builder.initializer('depthwise', float32Tensor([4, 1, 3, 3]))], { group: 4 });
    builder.output(builder.op('Conv', [depthwise, builder.initializer('out', float32Tensor([2, 4, 1, 1]))]), 'y');
    const graph = traceGroups(builder.build());
    expect(slicesOf(graph, 'out', 1, 3)).toEqual(['in 0: 3+3', 'grouped 0: 2+2', 'depthwise 0: 2+2', 'out 1: 2+2']);
  });

  it('says which nodes compute statistics over an axis', () => {
    const graph = traced((b, x, weight) => b.matmul(b.softmax(b.matmul(x, weight('in', 24, 10)), -1), weight('out', 10, 3)));
    expect(graph.groupOf('in', 1, 0).statistics).toEqual(['Softmax_1']);
  });

  it('fixes what operators without a rule touch', () => {
    const graph = traced((b, x, weight) => b.matmul(b.op('Trilu', [b.matmul(x, weight('in', 24, 10))]), weight('out', 10, 3)));
    expect(() => graph.groupOf('in', 1, 0)).toThrow(/no rule/);
  });

  it('removes a term of a sum with the last of its units, and refuses to leave nothing', () => {
    const graph = traced((b, x, weight) => {
      const term = b.matmul(b.relu(b.matmul(x, weight('up', 24, 2))), weight('down', 2, 3));
      return b.add(b.matmul(x, weight('straight', 24, 3)), b.mul(term, weight('scale', 3)));
    });
    const units = [0, 1].flatMap((index) => graph.unitsOf('up', 1, index));
    expect(graph.group(units)).toMatchObject({ slices: [], removed: ['up', 'down', 'scale'] });
    const alone = traced((b, x, weight) => b.matmul(b.matmul(x, weight('up', 24, 1)), weight('down', 1, 3)));
    expect(alone.axes.filter(({ fixed }) => fixed.length === 0)).toEqual([]);
    const two = traced((b, x, weight) => b.matmul(b.matmul(x, weight('up', 24, 2)), weight('down', 2, 3)));
    expect(() => two.group([0, 1].flatMap((index) => two.unitsOf('up', 1, index)))).toThrow(/nothing of the model’s output/);
  });

  it('leaves integers alone', () => {
    const graph = traced((b, x, weight) => b.gather(weight('table', 3, 5), b.constant(int64Tensor([2], [0, 1])), 0) && b.matmul(x, weight('w', 24, 2)));
    expect(graph.axes.every(({ members }) => members.every(({ tensor }) => ['table', 'w'].includes(tensor)))).toBe(true);
  });
});
