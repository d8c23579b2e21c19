import { float32Tensor, isPareError, type Graph } from '@pare/core';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from './builder.js';
import { encodeOnnx } from './onnx/encode.js';
import { upgradeOpset } from './upgrade-opset.js';
import { validateGraph } from './validate.js';

const quiet: InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1 };

async function run(graph: Graph): Promise<Record<string, [readonly number[], unknown[]]>> {
  const session = await InferenceSession.create(encodeOnnx(graph), quiet);
  const data = Float32Array.from({ length: 24 }, (_, index) => Math.sin(index * 3) * 2);
  const results = await session.run({ x: new Tensor('float32', data, [2, 3, 4]) });
  await session.release();
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, [results[name]!.dims, [...(results[name]!.data as Float32Array)]]]));
}

describe('upgradeOpset', () => {
  it.each([9, 11, 12, 13, 17])('keeps what a graph of operator set %i computes', async (opset) => {
    const b = new GraphBuilder('old', { opsets: { '': opset } });
    const x = b.input('x', 'float32', ['n', 3, 4]);
    b.output(b.op('ReduceMean', [x], { axes: [-1], keepdims: 0 }), 'mean');
    b.output(b.op('Softmax', [x], {}), 'softmax');
    b.output(b.op('LogSoftmax', [x], { axis: -1 }), 'logSoftmax');
    b.output(b.op('Softmax', [x], { axis: 2 }), 'last');
    if (opset < 13) {
      b.output(b.op('Unsqueeze', [x], { axes: [1] }), 'unsqueezed');
      b.output(b.op('Squeeze', [b.value('Unsqueeze_1')!], { axes: [1] }), 'squeezed');
      b.output(b.op('ReduceSum', [x], { axes: [0, 2] }), 'sum');
      b.node('Split', [x], { axis: 2, split: [1, 3] }, { outputs: 2 }).forEach((part, index) => b.output(part, `split_${String(index)}`));
    }
    b.node('Split', [x], { axis: 2 }, { outputs: 2 }).forEach((part, index) => b.output(part, `half_${String(index)}`));
    if (opset < 10) {
      b.output(b.op('Clip', [x], { max: 0.5 }), 'clipped');
      b.output(b.op('Slice', [x], { starts: [1], ends: [-1], axes: [2] }), 'sliced');
      b.output(b.op('Pad', [x], { pads: [0, 1, 0, 0, 0, 2], value: 3 }), 'padded');
      b.output(b.op('Pad', [x], { pads: [0, 1, 0, 0, 0, 1], mode: 'reflect' }), 'reflected');
      b.output(b.node('TopK', [x], { k: 2 }, { outputs: 2 })[0]!, 'best');
    }
    const old = b.build();
    const upgraded = upgradeOpset(old);
    validateGraph(upgraded);
    expect(upgraded.opsets).toEqual({ '': 21 });
    expect(await run(upgraded)).toEqual(await run(old));
  });

  it('returns current graphs as they are', () => {
    const b = new GraphBuilder('new');
    b.output(b.exp(b.input('x', 'float32', [1])), 'y');
    const graph = b.build();
    expect(upgradeOpset(graph)).toBe(graph);
  });

  it.each([
    [12, 'gives axes as attributes and as inputs'],
    [6, 'it has version 6; 7 and later are supported'],
  ])('refuses what has no successor (operator set %i)', (opset, message) => {
    const b = new GraphBuilder('mixed', { opsets: { '': opset } });
    b.output(b.op('Squeeze', [b.constant(float32Tensor([1, 2])), b.int64([0])], { axes: [0] }), 'y');
    let error: unknown;
    try {
      upgradeOpset(b.build());
    } catch (thrown) {
      error = thrown;
    }
    expect(isPareError(error) && error.message).toContain(message);
  });
});
