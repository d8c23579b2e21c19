import { float32Tensor, int64Tensor } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { describe, expect, it } from 'vitest';
import { referenceBackend } from './index.js';
import { ReferenceBackend } from './reference-backend.js';

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** x doubled `steps` times over. */
function chain(steps: number, size: number) {
  const builder = new GraphBuilder('chain');
  let x = builder.input('x', 'float32', [size]);
  for (let step = 0; step < steps; step++) x = builder.mul(x, 2);
  builder.output(x, 'y');
  return builder.build();
}

describe('the plugin', () => {
  it('runs everywhere, with the lowest score that counts', async () => {
    expect(await referenceBackend.score()).toMatchObject({ score: 1 });
    await using backend = await referenceBackend.create({}, { log: silent });
    expect(backend.id).toBe('reference');
  });
});

describe('a run', () => {
  it('frees intermediate values after their last use', async () => {
    await using backend = new ReferenceBackend();
    await using executable = await backend.compile(chain(20, 1000));
    using x = backend.write(float32Tensor([1000]));
    const { y } = await executable.run({ x });
    // The input, the value being read and the one being made: never all twenty.
    expect(backend.memory()).toEqual({ tensors: 2, bytes: 8000, peakBytes: 12000 });
    y![Symbol.dispose]();
  });

  it('lets timers fire while it works, and stops between nodes', async () => {
    await using backend = new ReferenceBackend();
    const builder = new GraphBuilder('slow');
    let x = builder.input('x', 'float32', [160, 160]);
    for (let step = 0; step < 400; step++) x = builder.matmul(x, x);
    builder.output(x, 'y');
    await using executable = await backend.compile(builder.build());
    using input = backend.write(float32Tensor([160, 160]));
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort();
    }, 1);
    await expect(executable.run({ x: input }, { signal: controller.signal })).rejects.toMatchObject({
      code: 'PARE_ABORTED',
      message: 'the run of graph "slow" was cancelled',
    });
    expect(backend.memory().tensors).toBe(1);
  });

  it('names the node that refuses its inputs', async () => {
    await using backend = new ReferenceBackend();
    const builder = new GraphBuilder('lookup');
    const table = builder.input('table', 'float32', ['rows', 2]);
    builder.output(builder.op('Gather', [table, builder.input('index', 'int64', [1])], {}, { name: 'row of token' }), 'y');
    await using executable = await backend.compile(builder.build());
    using scope = backend.scope();
    const inputs = { table: scope.own(backend.write(float32Tensor([3, 2]))), index: scope.own(backend.write(int64Tensor([1], [3]))) };
    await expect(executable.run(inputs)).rejects.toMatchObject({
      code: 'PARE_BACKEND_RUN_FAILED',
      message: 'graph "lookup" failed on backend "reference": node "row of token" (Gather): index 3 is outside an axis of 3',
    });
  });

  it('refuses tensors of another backend', async () => {
    await using backend = new ReferenceBackend();
    await using other = new ReferenceBackend();
    using foreign = other.write(float32Tensor([1]));
    await expect(backend.read(foreign)).rejects.toThrow('read on backend "reference" got a tensor of another backend');
  });
});
