import { float32Tensor, fromFloat16Bits, hostTensor, isPareError } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { filledTensor, GraphBuilder } from './builder.js';
import { validateGraph } from './validate.js';

describe('GraphBuilder', () => {
  it('builds a valid graph with operator sets it used', () => {
    const b = new GraphBuilder('mlp');
    const x = b.input('x', 'float32', ['tokens', 4]);
    const up = b.initializer('up', float32Tensor([4, 8]));
    const gated = b.op('QuickGelu', [b.matmul(x, up)], { alpha: 1 }, { domain: 'com.microsoft' });
    b.output(b.reduceMean(gated, [-1], true), 'y');
    const graph = b.build();
    validateGraph(graph);
    expect(graph.opsets).toEqual({ '': 21, 'com.microsoft': 1 });
    expect(graph.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: ['tokens', 4] }]);
    expect(graph.outputs).toEqual([{ name: 'y', dtype: 'float32', shape: ['tokens', 1] }]);
    expect(graph.nodes.map((node) => node.operator)).toEqual(['MatMul', 'QuickGelu', 'ReduceMean']);
    expect(graph.nodes.at(-1)!.outputs).toEqual(['y']);
  });

  it('shares equal constants and keeps different ones apart', () => {
    const b = new GraphBuilder('constants');
    expect(b.scalar(2)).toBe(b.scalar(2));
    expect(b.scalar(2)).not.toBe(b.scalar(2, 'float16'));
    expect(b.scalar(0)).not.toBe(b.scalar(-0));
    expect(b.int64([1])).not.toBe(b.scalar(1, 'int64'));
    expect(b.int64([1, 2])).toBe(b.int64([1, 2]));
    const large = float32Tensor([2000]);
    expect(b.constant(large)).not.toBe(b.constant(large));
  });

  it('takes numbers beside values in the other operand type', () => {
    const b = new GraphBuilder('numbers');
    const x = b.input('x', 'float16', [2]);
    const y = b.div(b.sub(1, x), 4);
    expect(y.dtype).toBe('float16');
    b.output(y);
    const one = b.build().initializers.values().next().value!;
    expect(fromFloat16Bits((one as ReturnType<typeof filledTensor>).data[0] as number)).toBe(1);
    expect(b.where(b.less(x, 0), x, 0).dtype).toBe('float16');
  });

  it('renames outputs wherever they are used', () => {
    const b = new GraphBuilder('renamed');
    const x = b.input('x', 'float32', [2]);
    const y = b.exp(x);
    b.output(y, 'probabilities');
    b.output(b.log(y), 'logits');
    const graph = b.build();
    expect(graph.nodes.map((node) => [node.inputs, node.outputs])).toEqual([
      [['x'], ['probabilities']],
      [['probabilities'], ['logits']],
    ]);
    validateGraph(graph);
  });

  it('copies inputs, constants and repeated values that are outputs', () => {
    const b = new GraphBuilder('copies');
    const x = b.input('x', 'float32', [2]);
    const y = b.exp(x);
    b.output(x, 'same');
    b.output(y, 'first');
    b.output(y, 'second');
    b.output(b.scalar(1), 'one');
    const graph = b.build();
    expect(graph.outputs.map((output) => output.name)).toEqual(['same', 'first', 'second', 'one']);
    expect(graph.nodes.filter((node) => node.operator === 'Identity')).toHaveLength(3);
    validateGraph(graph);
  });

  it('numbers names that are taken', () => {
    const b = new GraphBuilder('names');
    const x = b.input('Exp_1', 'float32', [2]);
    const y = b.op('Exp', [x]);
    expect(y.name).toBe('Exp_2');
    expect(b.op('Exp', [y], {}, { name: 'layer' }).name).toBe('layer');
    expect(b.op('Exp', [y], {}, { name: 'layer' }).name).toBe('layer_1');
    expect(b.value('layer')?.dtype).toBe('float32');
    expect(b.value('absent')).toBeUndefined();
  });

  it('builds shapes from numbers and values', () => {
    const b = new GraphBuilder('shapes');
    const x = b.input('x', 'float32', ['n', 6]);
    expect(b.reshape(x, [2, -1, 3]).shape).toEqual([2, 'n', 3]);
    expect(b.reshape(b.slice(x, 0, 0, 1), []).shape).toEqual([]);
    expect(b.reshape(x, [b.shapeOf(x), 1]).shape).toEqual(['n', 6, 1]);
    expect(b.split(x, 1, [2, 4]).map((part) => part.shape)).toEqual([
      ['n', 2],
      ['n', 4],
    ]);
    expect(b.squeeze(b.unsqueeze(x, [0, -1]), [0]).shape).toEqual(['n', 6, 1]);
    expect(b.gemm(x, b.constant(float32Tensor([2, 6])), undefined, { transB: true, alpha: 0.5 }).shape).toEqual(['n', 2]);
    expect(b.cast(x, 'float32')).toBe(x);
    expect(b.cast(x, 'bfloat16').dtype).toBe('bfloat16');
  });

  it('takes declared types for operators outside the subset', () => {
    const b = new GraphBuilder('custom');
    const x = b.input('x', 'float32', [2]);
    const y = b.op('Spectrum', [x], { mode: 'power' }, { domain: 'org.example', outputTypes: [{ dtype: 'float32', shape: [5] }] });
    expect(y.shape).toEqual([5]);
    b.output(y, 'y');
    expect(b.build().opsets['org.example']).toBe(1);
  });

  it.each([
    ['value of another builder', (b: GraphBuilder) => b.exp(new GraphBuilder('other').input('x', 'float32', [1])), 'made by another builder'],
    ['output of another builder', (b: GraphBuilder) => b.output(new GraphBuilder('other').input('x', 'float32', [1])), 'made by another builder'],
    ['name taken', (b: GraphBuilder) => b.input('x', 'float32', [1]), 'exists already'],
    ['empty name', (b: GraphBuilder) => b.initializer('', float32Tensor([1])), 'empty name'],
    ['output declared twice', (b: GraphBuilder) => [b.output(b.exp(b.value('x')!), 'y'), b.output(b.log(b.value('x')!), 'y')], 'declared twice'],
    ['output named like an input', (b: GraphBuilder) => b.output(b.exp(b.value('x')!), 'x'), 'name of another value'],
    ['size', (b: GraphBuilder) => b.input('z', 'float32', [-1]), 'has size -1'],
    ['output types', (b: GraphBuilder) => b.node('Exp', [b.value('x')], {}, { outputTypes: [] }), 'outputTypes names 0 outputs of 1'],
  ])('refuses: %s', (_, action, message) => {
    const b = new GraphBuilder('refusing');
    b.input('x', 'float32', [1]);
    let error: unknown;
    try {
      action(b);
    } catch (thrown) {
      error = thrown;
    }
    expect(isPareError(error) && [error.code, error.message]).toEqual(['PARE_GRAPH_INVALID', expect.stringContaining(message)]);
  });
});

describe('filledTensor', () => {
  it('stores the value in the type', () => {
    expect(filledTensor('int64', [2], -3).data).toEqual(BigInt64Array.of(-3n, -3n));
    expect(filledTensor('float16', [], 1).data).toEqual(Uint16Array.of(0x3c00));
    expect(filledTensor('bfloat16', [1], 1).data).toEqual(Uint16Array.of(0x3f80));
    expect(filledTensor('uint4', [3], 5)).toEqual(hostTensor('uint4', [3], Uint8Array.of(0x55, 0x05)));
    expect(filledTensor('int4', [2], -1).data).toEqual(Uint8Array.of(0xff));
    expect(filledTensor('bool', [1], 1).data).toEqual(Uint8Array.of(1));
  });
});
