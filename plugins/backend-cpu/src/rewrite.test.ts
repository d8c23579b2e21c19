import { float32Tensor } from '@pare/core';
import { GraphBuilder, validateGraph } from '@pare/graph';
import { expect, it } from 'vitest';
import { rewriteForSession } from './rewrite.js';

it('leaves graphs alone that onnxruntime runs as they are', () => {
  const builder = new GraphBuilder('plain');
  builder.output(builder.add(builder.input('x', 'float32', ['n']), builder.constant(float32Tensor([1], [1]))), 'y');
  const graph = builder.build();
  expect(rewriteForSession(graph)).toBe(graph);
});

it('computes bfloat16 in float32, widening each value once', () => {
  const builder = new GraphBuilder('bfloat16');
  const x = builder.input('x', 'bfloat16', ['n', 2]);
  const sum = builder.op('Add', [x, x]);
  builder.output(builder.op('Mul', [builder.op('Transpose', [sum], { perm: [1, 0] }), builder.op('Transpose', [x], { perm: [1, 0] })]), 'y');
  const graph = rewriteForSession(builder.build());
  validateGraph(graph);
  expect(graph.outputs).toEqual([{ name: 'y', dtype: 'bfloat16', shape: [2, 'n'] }]);
  expect(graph.nodes.map((node) => node.operator)).toEqual(['Cast', 'Add', 'Cast', 'Transpose', 'Transpose', 'Cast', 'Cast', 'Mul', 'Cast']);
});

it('clips before casts of floats to 4 bits', () => {
  const builder = new GraphBuilder('casts');
  builder.output(builder.cast(builder.input('x', 'float16', ['n']), 'int4'), 'y');
  builder.output(builder.cast(builder.input('i', 'int8', ['n']), 'int4'), 'z');
  const graph = rewriteForSession(builder.build());
  validateGraph(graph);
  expect(graph.nodes.map((node) => node.operator)).toEqual(['Cast', 'Clip', 'Cast', 'Cast']);
});
