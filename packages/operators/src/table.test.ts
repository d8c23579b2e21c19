import { float32Tensor, type Graph, type GraphNode } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { evaluateGraph, unsupportedReason } from './table.js';

const node = (operator: string, inputs: string[], outputs: string[], attributes = {}): GraphNode => ({
  operator,
  domain: '',
  name: operator,
  inputs,
  outputs,
  attributes,
});

const graph: Graph = {
  name: 'affine',
  inputs: [{ name: 'x', dtype: 'float32', shape: ['n'] }],
  outputs: [{ name: 'y', dtype: 'float32', shape: ['n'] }],
  initializers: new Map([['two', float32Tensor([], [2])]]),
  nodes: [node('Mul', ['x', 'two'], ['m']), node('Clip', ['m', '', 'two'], ['y'])],
  opsets: { '': 21 },
};

describe('evaluateGraph', () => {
  it('runs nodes in order with absent inputs and constants', () => {
    expect(evaluateGraph(graph, { x: float32Tensor([3], [-1, 0.5, 3]) })['y']!.data).toEqual(Float32Array.of(-2, 1, 2));
  });

  it('names values that nobody makes, and constants out of memory', () => {
    expect(() => evaluateGraph(graph, {})).toThrow('value "x" is not defined');
    const lazy = { ...graph, initializers: new Map([['two', { dtype: 'float32' as const, shape: [], read: () => Promise.resolve(new Uint8Array(4)) }]]) };
    expect(() => evaluateGraph(lazy, {})).toThrow('node two: its bytes are not in memory');
  });
});

describe('unsupportedReason', () => {
  it('knows both spellings of the standard domain, and types that Pare lacks', () => {
    expect(unsupportedReason({ ...node('Add', [], []), domain: 'ai.onnx' })).toBeUndefined();
    expect(unsupportedReason(node('MatMulNBits', [], []))).toBe('no such operator here');
    expect(unsupportedReason(node('Cast', [], [], { to: 17 }))).toMatch('element type 17');
    expect(unsupportedReason(node('Cast', [], [], { to: 22 }))).toBeUndefined();
  });
});
