import { float32Tensor, hostTensor } from '@pare/core';
import { GraphBuilder, validateGraph } from '@pare/graph';
import { expect, it } from 'vitest';
import { narrow, widen } from './boundary-types.js';
import { adaptBoundary, liftInitializers } from './session-graph.js';

it('leaves graphs alone that need nothing', () => {
  const builder = new GraphBuilder('plain');
  builder.output(builder.add(builder.input('x', 'float32', [2]), builder.initializer('c', float32Tensor([2]))), 'y');
  const graph = builder.build();
  expect(adaptBoundary(graph).graph).toBe(graph);
  expect(liftInitializers(graph).graph).toBe(graph);
});

it('casts at the boundary under names that are free', () => {
  const builder = new GraphBuilder('narrow');
  const x = builder.input('x', 'uint4', [2]);
  builder.output(builder.op('Identity', [x], {}, { name: 'boundary x' }), 'y');
  builder.input('boundary y', 'float32', [1]);
  const { graph, inputs, outputs } = adaptBoundary(builder.build());
  validateGraph(graph);
  expect(graph.inputs.map(({ name, dtype }) => [name, dtype])).toEqual([
    ['boundary x 2', 'uint8'],
    ['boundary y', 'float32'],
  ]);
  expect(graph.outputs.map(({ name, dtype }) => [name, dtype])).toEqual([['boundary y 2', 'uint8']]);
  expect(inputs.get('x')).toBe('boundary x 2');
  expect(outputs.get('y')).toBe('boundary y 2');
  expect(graph.nodes.map((node) => node.operator)).toEqual(['Cast', 'Identity', 'Cast']);
});

it('turns large constants into inputs when there are too many for one file', () => {
  const builder = new GraphBuilder('large');
  const big = builder.initializer('big', float32Tensor([4]));
  const small = builder.initializer('small', float32Tensor([1]));
  builder.output(builder.add(big, small), 'y');
  const { graph, lifted } = liftInitializers(builder.build(), { fileBytes: 16, liftedBytes: 8 });
  validateGraph(graph);
  expect([...lifted.keys()]).toEqual(['big']);
  expect(graph.inputs).toEqual([{ name: 'big', dtype: 'float32', shape: [4] }]);
  expect([...graph.initializers.keys()]).toEqual(['small']);
});

it('widens and narrows without loss', () => {
  const nibbles = Uint8Array.from([0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0x0e]);
  expect(Array.from(widen('int4', nibbles, 15), Number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2]);
  for (const dtype of ['int4', 'uint4'] as const) expect(new Uint8Array(narrow(dtype, widen(dtype, nibbles, 15)))).toEqual(nibbles);
  const { data } = hostTensor('bfloat16', [4], Uint16Array.from([0x3f80, 0x8000, 0xff80, 0x0001]));
  expect(new Uint16Array(narrow('bfloat16', widen('bfloat16', data, 4)))).toEqual(data);
});
