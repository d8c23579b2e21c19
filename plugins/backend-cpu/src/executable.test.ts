import { float32Tensor, type Graph } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CpuExecutable } from './executable.js';
import { TensorLedger } from './ledger.js';
import { CpuTensor } from './tensor.js';
import { WorkerChannel } from './worker-channel.js';

let channel: WorkerChannel;
beforeAll(async () => {
  channel = await WorkerChannel.open('cpu', 1);
});
afterAll(async () => {
  await channel.close('the tests ended');
});

/** sum = x + a + c and product = x · b, with `b` read on demand. */
function graphWithConstants(onRead: () => void): Graph {
  const builder = new GraphBuilder('constants');
  const x = builder.input('x', 'float32', [4]);
  const a = builder.initializer('a', float32Tensor([4], [1, 2, 3, 4]));
  const c = builder.initializer('c', float32Tensor([1], [100]));
  const b = builder.initializer('b', {
    dtype: 'bfloat16',
    shape: [4],
    read() {
      onRead();
      return Promise.resolve(new Uint8Array(Uint16Array.from([0x3f80, 0x4000, 0x4040, 0x4080]).buffer));
    },
  });
  builder.output(builder.add(builder.add(x, a), c), 'sum');
  builder.output(builder.mul(x, builder.cast(b, 'float32')), 'product');
  return builder.build();
}

it('feeds large constants of a graph that fits no file, and shares them among its sessions', async () => {
  let reads = 0;
  const graph = graphWithConstants(() => reads++);
  const disposed: number[] = [];
  const ledger = new TensorLedger((id) => {
    disposed.push(id);
    channel.notifyIfAlive({ kind: 'dispose', id });
  });
  const executable = await CpuExecutable.compile('cpu', channel, ledger, graph, { fileBytes: 7, liftedBytes: 8 });
  const id = ledger.nextId();
  channel.notify({ kind: 'write', id, dtype: 'float32', shape: [4], buffer: Float32Array.from([1, 1, 1, 2]).buffer });
  using x = new CpuTensor(ledger, id, 'float32', [4]);
  const numbers = async (name: string, outputs?: readonly string[]): Promise<number[]> => {
    const results = await executable.run({ x }, outputs === undefined ? {} : { outputs });
    const tensor = results[name] as CpuTensor;
    const bytes = (await channel.call({ kind: 'read', id: tensor.id }, () => new Error('read'))) as ArrayBuffer;
    for (const result of Object.values(results)) result[Symbol.dispose]();
    return Array.from(new Float32Array(bytes));
  };
  expect(await numbers('sum')).toEqual([102, 103, 104, 106]);
  expect(await numbers('product')).toEqual([1, 2, 3, 8]);
  expect(await numbers('product', ['product'])).toEqual([1, 2, 3, 8]);
  expect(await numbers('sum', ['sum'])).toEqual([102, 103, 104, 106]);
  expect(reads).toBe(1);
  // The graph's own arrays are still there.
  expect(graph.initializers.get('a')).toMatchObject({ data: Float32Array.from([1, 2, 3, 4]) });
  await executable[Symbol.asyncDispose]();
  expect(ledger.report().tensors).toBe(1);
});
