import { float32Tensor, type Graph } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import type { Program } from '../program.js';
import { recordingLanguage, recordingRoutines, testTraits } from '../testing.js';
import { lowerGraph, type LoweredGraph } from './lower-graph.js';

function lower(graph: Graph, inputShapes: Record<string, readonly number[]>, traits = testTraits): LoweredGraph & { readonly kernels: string[]; readonly requests: readonly { readonly name: string; readonly request: unknown }[] } {
  const language = recordingLanguage();
  const routines = recordingRoutines();
  const lowered = lowerGraph({ language, routines, traits }, { graph, wanted: undefined, inputShapes, reads: [] });
  return { ...lowered, kernels: lowered.steps.map(({ kernel }) => kernel.name), requests: routines.requests };
}

function build(make: (builder: GraphBuilder) => void): Graph {
  const builder = new GraphBuilder('graph');
  make(builder);
  return builder.build();
}

describe('products', () => {
  const gram = build((builder) => {
    const x = builder.input('x', 'float32', [64, 48]);
    builder.output(builder.gemm(builder.slice(x, 1, 0, 16), x, undefined, { transA: true }), 'first');
    builder.output(builder.gemm(builder.slice(x, 1, 16, 32), builder.slice(x, 1, 16, 48), undefined, { transA: true }), 'second');
  });

  it('read parts of wider matrices where they lie on devices that can', () => {
    const traits = { ...testTraits, spacedProducts: true, offsetAlignment: 16 };
    const { kernels, requests, steps } = lower(gram, { x: [64, 48] }, traits);
    expect(kernels).toEqual(['matMul', 'matMul']);
    expect(requests.map(({ request }) => request)).toMatchObject([{ m: 16, n: 48, k: 64, transposeA: true, aLineStride: 48 }, { m: 16, n: 32, k: 64, transposeA: true, aLineStride: 48, bLineStride: 48 }]);
    expect(steps[1]!.operands.slice(0, 2).map(({ offset }) => offset)).toEqual([64, 64]);
    // Elsewhere, and where a part begins between two places for a window, it is copied.
    expect(lower(gram, { x: [64, 48] }).kernels.filter((name) => name !== 'matMul')).not.toEqual([]);
    expect(lower(gram, { x: [64, 48] }, { ...traits, offsetAlignment: 256 }).kernels.filter((name) => name !== 'matMul')).not.toEqual([]);
  });

  it('narrow a buffer once for all that read it', () => {
    const traits = { ...testTraits, spacedProducts: true, offsetAlignment: 16 };
    const recorded = recordingRoutines();
    const narrow = { pays: () => true, narrow: ({ count }: { count: number }) => recorded.softmax!({ rows: 1, columns: count, logarithm: false }, traits) };
    const { steps } = lowerGraph({ language: recordingLanguage(), routines: { ...recorded, narrowing: narrow }, traits }, { graph: gram, wanted: undefined, inputShapes: { x: [64, 48] }, reads: [] });
    expect(steps.map(({ kernel }) => kernel.name)).toEqual(['softmax', 'matMul', 'matMul']);
    expect(recorded.requests.map(({ request }) => request)).toMatchObject([{ type: 'bfloat16' }, { columns: 64 * 48 }, { type: 'bfloat16' }]);
    // Elements take half as much: the second begins at half the offset.
    expect(steps[2]!.operands.slice(0, 2).map(({ offset }) => offset)).toEqual([32, 32]);
    const [, first] = steps;
    expect(first!.operands[0]!.buffer).toBe(steps[0]!.operands[1]!.buffer);
  });
});

describe('products with packed codes', () => {
  const graph = build((builder) => {
    const [x, codes, scales, bias] = [builder.input('x', 'float32', [2, 3, 32]), builder.input('codes', 'uint8', [16, 1, 16]), builder.input('scales', 'float32', [16, 1]), builder.input('bias', 'float32', [16])];
    builder.output(builder.op('MatMulNBits', [x, codes, scales, undefined, undefined, bias], { K: 32, N: 16, bits: 4, block_size: 32 }, { domain: 'com.microsoft' }), 'y');
  });
  const shapes = { x: [2, 3, 32], codes: [16, 1, 16], scales: [16, 1], bias: [16] };
  const product = { m: 6, n: 16, k: 32, batch: 1, transposeA: false, transposeB: true, alpha: 1, addend: { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 } };

  it('are products with the matrix multiplied out where no routine takes them', () => {
    const { kernels, requests } = lower(graph, shapes);
    expect(kernels).toEqual(['MatMulNBits', 'matMul']);
    expect(requests[0]!.request).toMatchObject(product);
  });

  it('are made in fewer bits where that pays, routine or not', () => {
    const recorded = recordingRoutines();
    const quantizedMatMul = (): Program => ({ temporaries: [], dispatches: [] });
    const narrow = ({ count }: { count: number }): Program => recorded.softmax!({ rows: 1, columns: count, logarithm: false }, testTraits);
    const steps = (pays: boolean): string[] =>
      lowerGraph({ language: recordingLanguage(), routines: { ...recorded, quantizedMatMul, narrowing: { pays: () => pays, narrow } }, traits: testTraits }, { graph, wanted: undefined, inputShapes: shapes, reads: [] }).steps.map(({ kernel }) => kernel.name);
    expect(steps(false)).toEqual([]);
    expect(steps(true)).toEqual(['MatMulNBits', 'softmax', 'softmax', 'matMul']);
    expect(recorded.requests.find(({ name }) => name === 'matMul')!.request).toMatchObject({ type: 'bfloat16', ...product });
  });
});

describe('lowering', () => {
  it('computes a chain of elementwise operators, broadcasts and casts in one kernel', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', ['rows', 8]);
      const bias = builder.input('bias', 'float32', [8]);
      const gate = builder.mul(builder.sigmoid(builder.add(x, bias)), x);
      builder.output(builder.cast(builder.mul(gate, 0.5), 'float16'), 'y');
    });
    const { steps, kernels } = lower(graph, { x: [3, 8], bias: [8] });
    expect(kernels).toEqual(['output']);
    expect(steps[0]!.operands.map(({ access }) => access)).toEqual(['write', 'read', 'read']);
  });

  it('moves nothing for reshapes, and copies once for a transposition that is handed out', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', [2, 3, 4]);
      builder.output(builder.reshape(x, [6, 4]), 'flat');
      builder.output(builder.transpose(builder.reshape(x, [6, 4]), [1, 0]), 'turned');
    });
    const { kernels, outputs, buffers } = lower(graph, { x: [2, 3, 4] });
    expect(kernels).toEqual(['output']);
    expect(buffers[outputs!.get('flat')!.buffer.id]!.origin).toEqual({ kind: 'input', name: 'x' });
  });

  it('reads transposed weights as they lie', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', ['batch', 5, 8]);
      builder.output(builder.matmul(x, builder.transpose(builder.input('w', 'float32', [16, 8]), [1, 0])), 'y');
    });
    const { requests, kernels } = lower(graph, { x: [2, 5, 8], w: [16, 8] });
    expect(kernels).toEqual(['matMul']);
    expect(requests[0]!.request).toMatchObject({ m: 10, n: 16, k: 8, batch: 1, transposeA: false, transposeB: true });
  });

  it('computes a value that several nodes need once', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', [64]);
      const costly = builder.exp(builder.tanh(builder.exp(x)));
      builder.output(builder.add(costly, 1), 'a');
      builder.output(builder.mul(costly, 3), 'b');
    });
    expect(lower(graph, { x: [64] }).kernels).toEqual(['Exp', 'output', 'output']);
  });

  it('recognises attention and never stores its scores', () => {
    const graph = build((builder) => {
      const q = builder.input('q', 'float32', [1, 2, 3, 7, 16]);
      const k = builder.input('k', 'float32', [1, 2, 1, 9, 16]);
      const v = builder.input('v', 'float32', [1, 2, 1, 9, 16]);
      const mask = builder.input('mask', 'float32', [7, 9]);
      const scores = builder.mul(builder.tanh(builder.div(builder.matmul(q, builder.transpose(k, [0, 1, 2, 4, 3])), 30)), 30);
      builder.output(builder.matmul(builder.softmax(builder.add(scores, mask), -1), v), 'y');
    });
    const { kernels, requests } = lower(graph, { q: [1, 2, 3, 7, 16], k: [1, 2, 1, 9, 16], v: [1, 2, 1, 9, 16], mask: [7, 9] });
    expect(kernels).toEqual(['attention']);
    expect(requests[0]!.request).toMatchObject({ batch: 1, heads: 6, keyHeads: 2, queries: 7, keys: 9, cap: 30, scale: 1, mask: [0, 0, 9, 1], causal: false });
  });

  it('stores scores that somebody else needs', () => {
    const graph = build((builder) => {
      const q = builder.input('q', 'float32', [1, 1, 4, 8]);
      const scores = builder.matmul(q, builder.transpose(q, [0, 1, 3, 2]));
      builder.output(scores, 'scores');
      builder.output(builder.matmul(builder.softmax(scores, -1), q), 'y');
    });
    expect(lower(graph, { q: [1, 1, 4, 8] }).kernels).toEqual(['matMul', 'softmax', 'matMul']);
  });

  it('recognises an RMS norm that is spelled out', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', [2, 3, 8]);
      const root = builder.sqrt(builder.add(builder.reduceMean(builder.pow(x, 2), [-1], true), 1e-5));
      builder.output(builder.mul(builder.div(x, root), builder.input('w', 'float32', [8])), 'y');
    });
    const { kernels, requests } = lower(graph, { x: [2, 3, 8], w: [8] });
    expect(kernels).toEqual(['normalization']);
    expect(requests[0]!.request).toMatchObject({ rows: 6, columns: 8, kind: 'rms', scale: true });
  });

  it('stops where shapes depend on elements, and says which', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', [4]);
      const shape = builder.cast(builder.input('shape', 'int32', [2]), 'int64');
      builder.output(builder.op('Reshape', [x, shape]), 'y');
    });
    const { outputs, needs } = lower(graph, { x: [4], shape: [2] });
    expect(outputs).toBeUndefined();
    expect([needs!.dtype, needs!.shape]).toEqual(['int64', [2]]);
  });

  it('hands float64 arithmetic to the host and names the reason, but moves float64 itself', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float64', [2, 3]);
      builder.output(builder.op('Add', [builder.transpose(x, [1, 0]), builder.transpose(x, [1, 0])]), 'y');
    });
    const { onHost, needs } = lower(graph, { x: [2, 3] });
    expect(onHost.map(({ node, reason }) => [node.operator, reason])).toEqual([['Add', 'kernels do not compute in float64']]);
    expect(needs!.dtype).toBe('float64');
  });

  it('cuts what a device cannot bind at once', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', [100_000]);
      builder.output(builder.add(x, 1), 'y');
    });
    const { steps } = lower(graph, { x: [100_000] }, { ...testTraits, maximumBinding: 2 ** 18 });
    // 400,000 bytes in windows of 262,144: two parts of the output, each able to read both windows of the input.
    expect(steps.map(({ operands }) => operands.map(({ access, offset, size }) => [access, offset ?? 0, size]))).toEqual([
      [
        ['write', 0, 262_144],
        ['read', 0, 262_144],
        ['read', 262_144, 137_856],
      ],
      [
        ['write', 262_144, 137_856],
        ['read', 0, 262_144],
        ['read', 262_144, 137_856],
      ],
    ]);
  });

  it('joins more parts than a kernel may read', () => {
    const parts = Array.from({ length: 20 }, (_, index) => `part${String(index)}`);
    const graph = build((builder) => {
      builder.output(builder.concat(parts.map((name) => builder.input(name, 'float32', [2, 3])), 1), 'y');
    });
    const { steps, outputs } = lower(graph, Object.fromEntries(parts.map((name) => [name, [2, 3]])));
    expect(outputs!.get('y')!.shape).toEqual([2, 60]);
    expect(Math.max(...steps.map(({ operands }) => operands.length))).toBeLessThanOrEqual(testTraits.maximumOperands);
  });

  it('keeps shape arithmetic on the host', () => {
    const graph = build((builder) => {
      const x = builder.input('x', 'float32', ['rows', 4]);
      builder.output(builder.add(x, builder.constant(float32Tensor([1], [2]))), 'y');
      builder.output(builder.op('Shape', [x]), 'shape');
    });
    const { kernels, buffers, outputs } = lower(graph, { x: [3, 4] });
    expect(kernels).toEqual(['output']);
    expect(buffers[outputs!.get('shape')!.buffer.id]!.origin.kind).toBe('upload');
  });
});
