import { float32Tensor, hostTensor, int64Tensor, isPareError, pareError, type Graph, type GraphNode, type HostTensor, type LazyTensor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from './builder.js';
import { foldConstants, type NodeEvaluator } from './fold-constants.js';
import { inferTypes } from './infer-types.js';
import { inlineGraph } from './inline.js';
import { mergeEqualNodes } from './merge-equal-nodes.js';
import { removeUnused } from './remove-unused.js';
import { simplifyTransposes } from './simplify-transposes.js';
import { validateGraph } from './validate.js';

/** Evaluates Exp and Add of equal shapes; refuses everything else as a backend would. */
const evaluate: NodeEvaluator = (node, inputs) => {
  const [first, second] = inputs as Float32TensorPair;
  if (node.operator === 'Exp') return [float32Tensor(first!.shape, (first!.data as Float32Array).map(Math.exp))];
  if (node.operator === 'Add') return [float32Tensor(first!.shape, (first!.data as Float32Array).map((value, index) => value + Number(second!.data[index])))];
  throw pareError('PARE_OPERATOR_UNSUPPORTED', { backend: 'test', graph: '', operators: [node.operator] });
};
type Float32TensorPair = readonly (HostTensor | undefined)[];

const operators = (graph: Graph): string[] => graph.nodes.map((node) => node.operator);

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isPareError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

describe('foldConstants', () => {
  it('computes what depends on constants only', () => {
    const b = new GraphBuilder('fold');
    const x = b.input('x', 'float32', [2]);
    const table = b.add(b.exp(b.constant(float32Tensor([2], [0, 1]))), b.constant(float32Tensor([2], [1, 1])));
    b.output(b.mul(x, table), 'y');
    const folded = foldConstants(b.build(), evaluate);
    expect(operators(folded)).toEqual(['Mul']);
    expect([...folded.initializers.values()]).toEqual([float32Tensor([2], [2, Math.fround(Math.fround(Math.E) + 1)])]);
    validateGraph(folded);
  });

  it('computes shape arithmetic once sizes are known, without the evaluator', () => {
    const b = new GraphBuilder('shapes');
    const x = b.input('x', 'float32', ['n', 6]);
    const rows = b.mul(b.shapeOf(x, 0, 1), b.int64([2]));
    b.output(b.reshape(x, b.concat([rows, b.int64([3])], 0)), 'y');
    const graph = b.build();
    const refuse: NodeEvaluator = (node: GraphNode) => {
      throw new Error(`evaluated ${node.operator}`);
    };
    expect(operators(foldConstants(graph, refuse))).toEqual(['Shape', 'Mul', 'Concat', 'Reshape']);
    const folded = foldConstants(graph, refuse, { inputShapes: { x: [4, 6] } });
    expect(operators(folded)).toEqual(['Reshape']);
    expect([...folded.initializers.values()]).toEqual([int64Tensor([2], [8, 3])]);
  });

  it('turns Constant nodes into initializers and copies folded outputs', () => {
    const b = new GraphBuilder('constants');
    b.input('x', 'float32', [1]);
    b.output(b.op('Constant', [], { value: float32Tensor([1], [3]) }), 'three');
    b.output(b.op('Constant', [], { value_ints: [4, 5] }), 'list');
    b.output(b.op('Constant', [], { value_float: 2 }), 'two');
    const folded = foldConstants(b.build(), evaluate);
    expect(operators(folded)).toEqual(['Identity', 'Identity', 'Identity']);
    expect(folded.initializers.get('three_constant')).toEqual(float32Tensor([1], [3]));
    expect(folded.initializers.get('list_constant')).toEqual(int64Tensor([2], [4, 5]));
    expect(folded.initializers.get('two_constant')).toEqual(float32Tensor([], [2]));
    validateGraph(folded);
  });

  it('leaves large results, quantized weights, lazy tensors and unknown operators', () => {
    const b = new GraphBuilder('kept');
    const x = b.input('x', 'float32', [2, 2]);
    const codes = b.constant(hostTensor('int8', [2, 2], Int8Array.of(1, 2, 3, 4)));
    const weight = b.op('DequantizeLinear', [codes, b.scalar(0.5)]);
    const lazy: LazyTensor = { dtype: 'float32', shape: [2, 2], read: () => Promise.resolve(new Uint8Array(16)) };
    const sum = b.add(b.matmul(x, weight), b.exp(b.initializer('lazy', lazy)));
    b.output(b.add(sum, b.tanh(b.constant(float32Tensor([2, 2])))), 'y');
    expect(operators(foldConstants(b.build(), evaluate))).toEqual(['DequantizeLinear', 'MatMul', 'Exp', 'Add', 'Tanh', 'Add']);
    const c = new GraphBuilder('large');
    c.output(c.add(c.input('x', 'float32', [4]), c.exp(c.constant(float32Tensor([4])))), 'y');
    expect(operators(foldConstants(c.build(), evaluate, { maximumBytes: 15 }))).toEqual(['Exp', 'Add']);
    expect(operators(foldConstants(c.build(), evaluate, { maximumBytes: 16 }))).toEqual(['Add']);
  });

  it('passes on other errors of the evaluator', () => {
    const b = new GraphBuilder('failing');
    b.output(b.add(b.input('x', 'float32', [1]), b.exp(b.constant(float32Tensor([1])))), 'y');
    expect(() =>
      foldConstants(b.build(), () => {
        throw new Error('defect');
      }),
    ).toThrow('defect');
    expect(messageOf(() => foldConstants(b.build(), () => []))).toContain('the evaluator gave no output 0');
  });
});

describe('removeUnused', () => {
  it('keeps what outputs need, and all inputs', () => {
    const b = new GraphBuilder('unused');
    const x = b.input('x', 'float32', [2]);
    b.input('spare', 'float32', [2]);
    const kept = b.add(x, b.initializer('kept', float32Tensor([2])));
    b.exp(b.mul(kept, b.initializer('dropped', float32Tensor([2]))));
    b.output(kept, 'y');
    const pruned = removeUnused(b.build());
    expect(operators(pruned)).toEqual(['Add']);
    expect([...pruned.initializers.keys()]).toEqual(['kept']);
    expect(pruned.inputs).toHaveLength(2);
  });
});

describe('inlineGraph', () => {
  const block = (): Graph => {
    const b = new GraphBuilder('block');
    const x = b.input('x', 'float32', ['n', 4]);
    const y = b.op('MatMul', [x, b.initializer('weight', float32Tensor([4, 2000]))], {}, { name: 'product' });
    b.output(b.add(y, 1), 'y');
    b.output(b.op('LayerNormalization', [x, b.constant(float32Tensor([4]))]), 'normed');
    return b.build();
  };

  it('composes graphs, twice with shared weights', () => {
    const graph = block();
    const b = new GraphBuilder('whole');
    const x = b.input('tokens', 'float32', ['batch', 4]);
    const first = inlineGraph(b, graph, { x }, { prefix: 'first/' });
    const second = inlineGraph(b, graph, { x: first['normed']! }, { prefix: 'second/' });
    expect(second['y']!.shape).toEqual(['batch', 2000]);
    b.output(second['y']!, 'y');
    const whole = b.build();
    validateGraph(whole);
    expect([...whole.initializers.keys()].filter((name) => name.includes('weight'))).toEqual(['first/weight']);
    expect(whole.nodes.some((node) => node.name === 'second/product')).toBe(true);
    expect(inferTypes(whole).get('y')?.shape).toEqual(['batch', 2000]);
  });

  it('refuses inputs that do not fit', () => {
    const b = new GraphBuilder('whole');
    const x = b.input('tokens', 'float32', ['batch', 4]);
    const wide = b.input('wide', 'float32', ['batch', 5]);
    const halves = b.input('halves', 'float16', ['batch', 4]);
    expect(messageOf(() => inlineGraph(b, block(), {}))).toContain('PARE_TENSOR_MISMATCH graph "block", input "x": got nothing');
    expect(messageOf(() => inlineGraph(b, block(), { x: wide }))).toContain('got float32 [batch, 5]');
    expect(messageOf(() => inlineGraph(b, block(), { x: halves }))).toContain('got float16 [batch, 4]');
    expect(messageOf(() => inlineGraph(b, block(), { x, z: x }))).toContain('input "z": got a value for it');
    expect(messageOf(() => inlineGraph(new GraphBuilder('old', { opsets: { '': 13 } }), block(), {}))).toContain('it has version 21, graph "old" has 13');
  });
});

describe('validateGraph', () => {
  const valid = (): Graph => {
    const b = new GraphBuilder('net');
    const x = b.input('x', 'float32', [2]);
    b.output(b.op('Log', [b.op('Exp', [x], {}, { name: 'one' })], {}, { name: 'two' }), 'y');
    return b.build();
  };
  const broken = (change: (graph: Graph) => Partial<Graph>): string => {
    const graph = valid();
    return messageOf(() => {
      validateGraph({ ...graph, ...change(graph) });
    });
  };

  it('accepts what builders build', () => {
    expect(() => {
      validateGraph(valid());
    }).not.toThrow();
  });

  it.each([
    ['order', (graph: Graph) => ({ nodes: [...graph.nodes].reverse() }), 'produced by a later node; nodes must be in topological order'],
    ['loop', (graph: Graph) => ({ nodes: graph.nodes.map((node) => ({ ...node, inputs: node.outputs })) }), 'is its own output'],
    ['missing input', () => ({ inputs: [] }), 'input "x" is produced by nothing'],
    ['repeated input', (graph: Graph) => ({ inputs: [...graph.inputs, ...graph.inputs] }), 'it is declared twice'],
    ['initializer and input', () => ({ initializers: new Map([['x', float32Tensor([2])]]) }), 'an input has the same name'],
    ['repeated value', (graph: Graph) => ({ nodes: graph.nodes.map((node) => ({ ...node, inputs: ['x'], outputs: ['y'] })) }), 'names a value that exists already'],
    ['repeated node name', (graph: Graph) => ({ nodes: graph.nodes.map((node) => ({ ...node, name: 'n' })) }), 'another node has the same name'],
    ['repeated output', (graph: Graph) => ({ outputs: [...graph.outputs, ...graph.outputs] }), 'it is declared twice'],
    ['operator set', () => ({ opsets: {} }), 'declares no version of operator set ""'],
    ['operator', (graph: Graph) => ({ nodes: graph.nodes.map((node) => ({ ...node, operator: 'Loop' })) }), 'operator is not in the supported subset'],
    ['output', () => ({ outputs: [{ name: 'nowhere', dtype: 'float32' as const, shape: [2] }] }), 'produced by no node'],
  ])('finds: %s', (_, change, message) => {
    expect(broken(change)).toMatch(/^PARE_GRAPH_INVALID graph "net"/);
    expect(broken(change)).toContain(message);
  });
});

describe('mergeEqualNodes', () => {
  it('computes once what stands twice, and all that follows from it', () => {
    const b = new GraphBuilder('twice');
    const x = b.input('x', 'float32', [2, 3]);
    b.output(b.add(b.exp(b.reduceSum(x, [1])), b.exp(b.reduceSum(x, [1]))), 'y');
    const merged = removeUnused(mergeEqualNodes(b.build()));
    expect(operators(merged)).toEqual(['ReduceSum', 'Exp', 'Add']);
    expect(new Set(merged.nodes[2]!.inputs).size).toBe(1);
    validateGraph(merged);
  });

  it('keeps outputs, other attributes and other numbers of outputs apart', () => {
    const b = new GraphBuilder('different');
    const x = b.input('x', 'float32', [2, 4]);
    b.output(b.softmax(x, 0), 'first');
    b.output(b.softmax(x, 1), 'second');
    b.output(b.softmax(x, 1), 'third');
    b.output(b.add(b.split(x, 1, [2, 2])[0]!, b.split(x, 1, [2, 2])[1]!), 'sum');
    const merged = mergeEqualNodes(b.build());
    expect(operators(merged)).toEqual(['Softmax', 'Softmax', 'Softmax', 'Split', 'Add']);
    validateGraph(merged);
  });
});

describe('simplifyTransposes', () => {
  const build = (make: (b: GraphBuilder) => void): Graph => {
    const b = new GraphBuilder('transposes');
    make(b);
    const graph = simplifyTransposes(b.build());
    validateGraph(graph);
    return graph;
  };

  it('joins two in a row, to none where they undo each other', () => {
    const graph = build((b) => {
      const x = b.input('x', 'float32', [2, 3, 4]);
      b.output(b.exp(b.transpose(b.transpose(x, [1, 2, 0]), [2, 0, 1])), 'same');
      b.output(b.exp(b.transpose(b.transpose(x, [1, 2, 0]), [1, 0, 2])), 'one');
    });
    expect(operators(graph)).toEqual(['Exp', 'Transpose', 'Exp']);
    expect(graph.nodes[1]!.attributes).toEqual({ perm: [2, 1, 0] });
  });

  it('copies what an output would be renamed to', () => {
    const graph = build((b) => {
      b.output(b.transpose(b.transpose(b.input('x', 'float32', [2, 3]), [1, 0]), [1, 0]), 'y');
    });
    expect(operators(graph)).toEqual(['Identity']);
  });

  it('puts transpositions of matrices into products', () => {
    const graph = build((b) => {
      const [a, c] = [b.input('a', 'float32', [3, 2]), b.input('c', 'float32', [4, 3])];
      b.output(b.transpose(b.gemm(b.transpose(a, [1, 0]), c, undefined, { transB: true, alpha: 2 }), [1, 0]), 'y');
    });
    expect(graph.nodes).toMatchObject([{ operator: 'Gemm', inputs: ['c', 'a'], attributes: { alpha: 2, transA: 0, transB: 0 } }]);
  });

  it('leaves products that are used otherwise, too, or have a bias', () => {
    const graph = build((b) => {
      const [a, c, bias] = [b.input('a', 'float32', [3, 2]), b.input('c', 'float32', [2, 4]), b.input('bias', 'float32', [4])];
      const product = b.gemm(a, c);
      b.output(product, 'product');
      b.output(b.transpose(product, [1, 0]), 'turned');
      b.output(b.transpose(b.gemm(a, c, bias), [1, 0]), 'biased');
    });
    expect(operators(graph)).toEqual(['Gemm', 'Transpose', 'Gemm', 'Transpose']);
  });
});
