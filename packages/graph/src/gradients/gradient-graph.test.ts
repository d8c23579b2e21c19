import { float32Tensor, int64Tensor, isPareError, type Graph, type HostTensor } from '@pare/core';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from '../builder.js';
import { inferTypes } from '../infer-types.js';
import { validateGraph } from '../validate.js';
import { gradientGraph, type GradientOptions } from './gradient-graph.js';

const operators = (graph: Graph): string[] => graph.nodes.map(({ operator }) => operator);
const list = (tensor: HostTensor | undefined): number[] => Array.from(tensor!.data as Float32Array);

function problem(graph: Graph, options: GradientOptions): string {
  try {
    gradientGraph(graph, options);
  } catch (error) {
    if (isPareError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

/** loss = Σ (x·w)² */
function square(rows: number | string = 3): Graph {
  const b = new GraphBuilder('square');
  const product = b.matmul(b.input('x', 'float32', [rows, 2]), b.initializer('w', float32Tensor([2, 2], [1, 2, 3, 4])));
  b.output(b.reduceSum(b.mul(product, product)), 'loss');
  b.output(product, 'product');
  return b.build();
}

const x = float32Tensor([3, 2], [1, 0, 0, 1, 1, 1]);

describe('gradientGraph', () => {
  it('differentiates with respect to inputs, initializers and values, and keeps outputs on request', () => {
    const graph = gradientGraph(square(), { of: 'loss', withRespectTo: ['x', 'w', 'product'], outputs: ['loss'] });
    validateGraph(graph);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['loss', 'gradient.x', 'gradient.w', 'gradient.product']);
    const result = evaluateGraph(graph, { x });
    expect(list(result['loss'])).toEqual([1 + 4 + 9 + 16 + 16 + 36]);
    expect(list(result['gradient.product'])).toEqual([2, 4, 6, 8, 8, 12]);
    expect(list(result['gradient.x'])).toEqual([10, 22, 22, 50, 32, 72]);
    expect(list(result['gradient.w'])).toEqual([10, 16, 14, 20]);
  });

  it('keeps symbolic sizes', () => {
    const graph = gradientGraph(square('rows'), { of: 'loss', withRespectTo: ['x', 'w'] });
    expect(inferTypes(graph).get('gradient.x')).toEqual({ dtype: 'float32', shape: ['rows', 2] });
    expect(list(evaluateGraph(graph, { x })['gradient.w'])).toEqual([10, 16, 14, 20]);
  });

  it('takes cotangents for values that are no scalars', () => {
    const graph = gradientGraph(square(), { of: ['product', 'loss'], withRespectTo: ['x'], cotangents: { product: 'later' } });
    expect(graph.inputs.map(({ name, shape }) => [name, shape])).toEqual([['x', [3, 2]], ['later', [3, 2]]]);
    const later = float32Tensor([3, 2], [1, 0, 0, 0, 0, 1]);
    expect(list(evaluateGraph(graph, { x, later })['gradient.x'])).toEqual([11, 25, 22, 50, 34, 76]);
  });

  it('adds up what several uses contribute', () => {
    const b = new GraphBuilder('fan-out');
    const value = b.input('x', 'float32', [2]);
    b.output(b.reduceSum(b.add(b.mul(value, b.exp(value)), b.sub(value, b.mul(value, 3)))), 'loss');
    const [first, second] = list(evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x'] }), { x: float32Tensor([2], [0, 1]) })['gradient.x']);
    expect(first).toBeCloseTo(1 - 2, 6);
    expect(second).toBeCloseTo(2 * Math.E - 2, 5);
  });

  it('gives zeros where nothing depends on a value', () => {
    const b = new GraphBuilder('unused');
    const used = b.input('x', 'float32', ['n']);
    b.input('y', 'float32', ['n', 2]);
    b.output(b.reduceSum(used), 'loss');
    b.output(b.cast(b.cast(used, 'int64'), 'float32'), 'rounded');
    const graph = gradientGraph(b.build(), { of: 'loss', withRespectTo: ['y', 'x'] });
    const result = evaluateGraph(graph, { x: float32Tensor([1], [2]), y: float32Tensor([1, 2], [1, 2]) });
    expect(result).toEqual({ 'gradient.y': float32Tensor([1, 2]), 'gradient.x': float32Tensor([1], [1]) });
  });

  it('treats values as constants', () => {
    const b = new GraphBuilder('stopped');
    const value = b.input('x', 'float32', [1]);
    const constant = b.mul(value, 5);
    b.output(b.reduceSum(b.mul(value, constant)), 'loss');
    const at = { x: float32Tensor([1], [3]) };
    expect(list(evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x'] }), at)['gradient.x'])).toEqual([30]);
    expect(list(evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x'], stopGradient: [constant.name] }), at)['gradient.x'])).toEqual([15]);
  });

  it('lets gradients go straight through what has none', () => {
    const b = new GraphBuilder('straight');
    const [value, scale] = [b.input('x', 'float32', [2]), b.input('scale', 'float32', [])];
    const quantized = b.mul(b.op('Round', [b.div(value, scale)]), scale);
    b.output(b.reduceSum(b.mul(quantized, quantized)), 'loss');
    const at = { x: float32Tensor([2], [0.9, 2.2]), scale: float32Tensor([], [1]) };
    const direct = evaluateGraph(gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x'] }), at);
    expect(list(direct['gradient.x'])).toEqual([0, 0]);
    const straight = gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x', 'scale'], straightThrough: { [quantized.name]: 'x' } });
    // 2·quantized for x; what goes straight past the scale leaves it without.
    expect(list(evaluateGraph(straight, at)['gradient.x'])).toEqual([2, 4]);
    expect(list(evaluateGraph(straight, at)['gradient.scale'])).toEqual([0]);
    validateGraph(straight);
  });

  it('goes through values that are differentiated and used further on', () => {
    const b = new GraphBuilder('twice');
    const value = b.input('x', 'float32', [2]);
    const sum = b.reduceSum(value);
    b.output(sum, 'first');
    b.output(b.exp(sum), 'second');
    const graph = gradientGraph(b.build(), { of: ['first', 'second'], withRespectTo: ['x'] });
    expect(list(evaluateGraph(graph, { x: float32Tensor([2], [0, 0]) })['gradient.x'])).toEqual([2, 2]);
  });

  it('has no repeated and no idle nodes', () => {
    const b = new GraphBuilder('linear');
    const [value, weight] = [b.input('x', 'float32', ['n', 4, 3]), b.input('w', 'float32', [5, 3])];
    b.output(b.matmul(value, b.transpose(weight, [1, 0])), 'y');
    const graph = gradientGraph(b.build(), { of: 'y', withRespectTo: ['x', 'w'], cotangents: { y: 'dy' } });
    // ∂x = dy·w without any transposition, ∂w = dyᵀ·x in one product.
    expect(operators(graph)).toEqual(['MatMul', 'Reshape', 'Reshape', 'Gemm']);
    expect(graph.nodes[3]!.attributes).toEqual({ transA: 1, transB: 0 });
  });

  it('joins slices of one value without padding', () => {
    const b = new GraphBuilder('runs');
    const value = b.input('x', 'float32', ['n', 6]);
    b.output(b.concat([b.exp(b.slice(value, 1, 0, 2)), b.exp(b.slice(value, 1, 2, 4)), b.exp(b.slice(value, 1, 4))], 1), 'y');
    const graph = gradientGraph(b.build(), { of: 'y', withRespectTo: ['x'], cotangents: { y: 'dy' } });
    expect(operators(graph).filter((operator) => operator === 'Concat')).toHaveLength(1);
    expect(operators(graph)).not.toContain('Expand');
  });

  it('differentiates what it made', () => {
    const b = new GraphBuilder('cube');
    b.output(b.reduceSum(b.pow(b.input('x', 'float32', [2]), 3)), 'loss');
    const first = gradientGraph(b.build(), { of: 'loss', withRespectTo: ['x'] });
    const second = gradientGraph(first, { of: 'gradient.x', withRespectTo: ['x'], cotangents: { 'gradient.x': 'v' } });
    const result = evaluateGraph(second, { x: float32Tensor([2], [1, 2]), v: float32Tensor([2], [1, 1]) });
    expect(list(result['gradient.x'])).toEqual([6, 12]);
  });

  it('names every operator without gradient', () => {
    const b = new GraphBuilder('strange');
    const value = b.input('x', 'float32', [2, 3]);
    const product = b.op('ReduceProd', [value, b.int64([1])], { keepdims: 0 }, { name: 'product' });
    b.output(b.reduceSum(product), 'loss');
    const graph = b.build();
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'] })).toBe('PARE_GRADIENT_UNAVAILABLE graph "strange" cannot be differentiated through "product" (ReduceProd)');
    expect(operators(gradientGraph(graph, { of: 'loss', withRespectTo: ['product'] }))).not.toContain('ReduceProd');
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'], stopGradient: ['product'] })).toBe('nothing was thrown');
  });

  it('refuses requests that mean nothing', () => {
    const graph = square();
    const b = new GraphBuilder('integers');
    b.output(b.add(b.input('ids', 'int64', [2]), 1), 'next');
    expect(problem(graph, { of: 'lost', withRespectTo: ['x'] })).toMatch(/"lost".*none of this name; did you mean "loss"/);
    expect(problem(graph, { of: 'product', withRespectTo: ['x'] })).toMatch(/"product".*shape \[3, 2\]; what is differentiated is a scalar/);
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'], cotangents: { product: 'later' } })).toMatch(/"product".*cotangent and is not differentiated/);
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'], cotangents: { loss: 'w' } })).toMatch(/"w".*name that the graph does not use/);
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'], straightThrough: { x: 'product' } })).toMatch(/"product".*comes before it/);
    expect(problem(graph, { of: 'loss', withRespectTo: ['x'], straightThrough: { loss: 'x' } })).toMatch(/"loss".*shape \[\], its straight-through source "x" \[3, 2\]/);
    expect(problem(b.build(), { of: 'next', withRespectTo: ['ids'] })).toMatch(/"next".*int64; only/);
  });

  it.each<[string, (b: GraphBuilder, x: Value) => Value, string]>([
    ['sizes that may be broadcast', (b, value) => b.reduceSum(b.add(value, b.input('other', 'float32', ['m']))), 'sizes "max(m, n)" and "n" may or may not be broadcast'],
    ['outputs without gradient', (b, value) => b.reduceSum(b.node('LayerNormalization', [value, b.scalar(1)], {}, { outputs: 2 })[1]!), 'has no gradient through output 1'],
    ['reductions in scattering', (b, value) => b.reduceSum(b.op('ScatterElements', [value, b.constant(int64Tensor([1], [0])), b.constant(float32Tensor([1], [2]))], { reduction: 'mul' })), 'no gradient with reduction "mul"'],
    ['modes of padding', (b, value) => b.reduceSum(b.op('Pad', [value, b.int64([1, 1])], { mode: 'edge' })), 'no gradient in mode edge'],
  ])('refuses %s', (_, build, message) => {
    const b = new GraphBuilder('refused');
    b.output(build(b, b.input('x', 'float32', ['n'])), 'loss');
    const found = problem(b.build(), { of: 'loss', withRespectTo: ['x'] });
    expect(found).toContain('PARE_GRAPH_INVALID');
    expect(found).toContain(message);
  });
});
