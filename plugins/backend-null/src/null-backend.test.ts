import { float32Tensor, int64Tensor, type Graph } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { nullBackend } from './index.js';
import { NullBackend } from './null-backend.js';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function reshapeGraph(): Graph {
  const builder = new GraphBuilder('reshape');
  const x = builder.input('x', 'float32', ['n', 4]);
  builder.output(builder.reshape(x, builder.input('shape', 'int64', [2])), 'y');
  return builder.build();
}

describe('the plugin', () => {
  it('is there by name only', async () => {
    expect(await nullBackend.score()).toMatchObject({ score: 0 });
    await using backend = await nullBackend.create({}, { log: silent });
    expect(backend.id).toBe('null');
  });
});

describe('memory', () => {
  it('is that of a run that frees values after their last use, without any data', async () => {
    await using backend = new NullBackend();
    const builder = new GraphBuilder('large');
    // 4 GiB a value: nothing of it may be allocated.
    let x = builder.input('x', 'float32', ['n', 1024]);
    for (let step = 0; step < 10; step++) x = builder.tanh(x);
    builder.output(x, 'y');
    await using executable = await backend.compile(builder.build());
    using input = backend.allocate('float32', [2 ** 20, 1024]);
    const { y } = await executable.run({ x: input });
    expect(y!.shape).toEqual([2 ** 20, 1024]);
    expect(backend.memory()).toEqual({ tensors: 2, bytes: 2 * 2 ** 32, peakBytes: 3 * 2 ** 32 });
    y![Symbol.dispose]();
  });
});

describe('shapes', () => {
  it('follow from values that were written', async () => {
    await using backend = new NullBackend();
    await using executable = await backend.compile(reshapeGraph());
    using scope = backend.scope();
    const x = scope.own(backend.allocate('float32', [3, 4]));
    const { y } = await executable.run({ x, shape: scope.own(backend.write(int64Tensor([2], [-1, 6]))) });
    expect(scope.own(y!).shape).toEqual([2, 6]);
  });

  it('that follow from values nobody knows are refused by name', async () => {
    await using backend = new NullBackend();
    await using executable = await backend.compile(reshapeGraph());
    using scope = backend.scope();
    const inputs = { x: scope.own(backend.allocate('float32', [3, 4])), shape: scope.own(backend.allocate('int64', [2])) };
    await expect(executable.run(inputs)).rejects.toMatchObject({
      code: 'PARE_BACKEND_RUN_FAILED',
      message: 'graph "reshape" failed on backend "null": the shape of "y" depends on values, which this backend does not compute',
    });
  });

  it('that do not fit together at run time are refused by node', async () => {
    await using backend = new NullBackend();
    const builder = new GraphBuilder('sum');
    builder.output(builder.op('Add', [builder.input('a', 'float32', ['n']), builder.input('b', 'float32', ['m'])], {}, { name: 'total' }), 'y');
    await using executable = await backend.compile(builder.build());
    using a = backend.write(float32Tensor([2]));
    using b = backend.write(float32Tensor([3]));
    await expect(executable.run({ a, b })).rejects.toMatchObject({ code: 'PARE_BACKEND_RUN_FAILED', message: expect.stringContaining('total') as string });
  });
});
