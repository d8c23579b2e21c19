import { describe, expect, it } from 'vitest';
import type { DeviceTensor } from './backend.js';
import type { DType } from './dtype.js';
import type { Graph, GraphNode } from './graph.js';
import { checkRunInputs, planRun } from './run-plan.js';

const node = (operator: string, inputs: string[], outputs: string[]): GraphNode => ({ operator, domain: '', name: operator, inputs, outputs, attributes: {} });
const graph: Graph = {
  name: 'g',
  inputs: [
    { name: 'x', dtype: 'float32', shape: ['rows', 4] },
    { name: 'y', dtype: 'float32', shape: ['rows'] },
    { name: 'free', dtype: 'int64', shape: undefined },
  ],
  outputs: [
    { name: 'a', dtype: 'float32', shape: undefined },
    { name: 'c', dtype: 'float32', shape: undefined },
  ],
  initializers: new Map(),
  nodes: [node('First', ['x'], ['a']), node('Second', ['a', 'y'], ['b', 'unused']), node('Third', ['b', '', 'free'], ['c'])],
  opsets: { '': 21 },
};
const tensor = (dtype: DType, shape: number[], disposed = false): DeviceTensor => ({ dtype, shape, byteLength: 0, disposed, [Symbol.dispose]() {} });
const fitting = { x: tensor('float32', [3, 4]), y: tensor('float32', [3]), free: tensor('int64', [1, 2]) };

describe('checkRunInputs', () => {
  it('binds symbolic dimensions', () => {
    expect(checkRunInputs('test', graph, fitting)).toEqual({ rows: 3 });
  });

  it.each([
    [{ ...fitting, y: undefined as unknown as DeviceTensor }, 'graph "g", input "y": got nothing', 'Expected float32 [rows].'],
    [{ ...fitting, x: tensor('float16', [3, 4]) }, 'graph "g", input "x": got float16 [3, 4]', 'Expected float32 [rows, 4].'],
    [{ ...fitting, x: tensor('float32', [3, 5]) }, 'graph "g", input "x": got float32 [3, 5]', 'Expected float32 [rows, 4].'],
    [{ ...fitting, x: tensor('float32', [3]) }, 'graph "g", input "x": got float32 [3]', 'Expected float32 [rows, 4].'],
    [{ ...fitting, y: tensor('float32', [2]) }, 'graph "g", input "y": got float32 [2]', 'Expected float32 [rows] where rows is 3, as in input "x".'],
    [{ ...fitting, z: tensor('float32', [2]) }, 'graph "g", input "z": got a tensor for an input that the graph lacks', 'Expected only x, y, free.'],
  ])('refuses what does not fit: %#', (inputs, message, help) => {
    expect(() => checkRunInputs('test', graph, inputs)).toThrow(expect.objectContaining({ code: 'PARE_TENSOR_MISMATCH', message, help }));
  });

  it('refuses disposed tensors', () => {
    expect(() => checkRunInputs('test', graph, { ...fitting, y: tensor('float32', [3], true) })).toThrow(
      expect.objectContaining({ code: 'PARE_TENSOR_DISPOSED' }),
    );
  });
});

describe('planRun', () => {
  it('releases intermediates after their last use and keeps outputs', () => {
    const plan = planRun(graph);
    expect(plan.outputs).toEqual(['a', 'c']);
    expect(plan.steps.map((step) => [step.node.name, step.release])).toEqual([
      ['First', []],
      ['Second', ['unused']],
      ['Third', ['b']],
    ]);
  });

  it('takes only the nodes that the wanted outputs need', () => {
    expect(planRun(graph, ['a']).steps.map((step) => step.node.name)).toEqual(['First']);
    expect(() => planRun(graph, ['b'])).toThrow(expect.objectContaining({ code: 'PARE_TENSOR_MISMATCH', help: 'Expected one of a, c.' }));
  });
});
