import { pareError, type Backend, type Executable, type GramMatrix } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModel } from '../open/index.js';
import { gramStatistic } from '../statistics/index.js';
import { createBlockRunner } from './block-runner.js';

const folder = fileURLToPath(new URL('../../../testkit/fixtures/architectures/llama', import.meta.url));
const windows = Array.from({ length: 5 }, (_, window) => Int32Array.from({ length: 12 }, (__, position) => (window * 31 + position * 7) % 160));

/** The reference backend on a device that has memory for the states of so many windows at once. */
async function smallBackend(most: number): Promise<Backend & { readonly refusals: () => number }> {
  const backend = await referenceBackend.create({}, { log: console });
  let refusals = 0;
  return Object.assign(Object.create(backend) as Backend, {
    // Methods with private state need the backend itself.
    ...Object.fromEntries((['allocate', 'write', 'read', 'unsupported', 'synchronize', 'memory', 'capability', 'scope'] as const).map((name) => [name, (backend[name] as (...values: unknown[]) => unknown).bind(backend)])),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
    refusals: () => refusals,
    async compile(graph: Parameters<Backend['compile']>[0]): Promise<Executable> {
      const executable = await backend.compile(graph);
      return {
        graph,
        run(inputs, options) {
          if ((graph.name === 'block' || graph.name === 'calibration') && inputs['hidden']!.shape[0]! > most) {
            refusals++;
            throw pareError('PARE_BACKEND_OUT_OF_MEMORY', { backend: 'reference', operation: 'a run', reason: 'this test says so' });
          }
          return executable.run(inputs, options);
        },
        [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
      };
    },
  });
}

async function states(backend: Backend): Promise<{ hidden: number[]; gram: number[] }> {
  await using model = await openModel(folder, { architectures: [llamaArchitecture] });
  await using runner = createBlockRunner({ model, backend });
  await using hidden = await runner.embed(windows);
  const module = 'model.layers.0.mlp.down_proj';
  const collected = await runner.collect(0, hidden, [{ module, statistics: [gramStatistic] }]);
  const { matrix } = collected.get(module, gramStatistic) as GramMatrix;
  const gram = Array.from((await backend.read(matrix)).data as Float32Array);
  collected[Symbol.dispose]();
  await runner.advance(0, hidden);
  return { hidden: Array.from((await hidden.read(0)).data as Float32Array), gram };
}

describe('a backend that runs out of memory', () => {
  it('gets half of the windows, once, with the same result', async () => {
    await using whole = await smallBackend(5);
    await using half = await smallBackend(3);
    const [expected, actual] = [await states(whole), await states(half)];
    expect([whole.refusals(), half.refusals()]).toEqual([0, 2]);
    expect(actual.hidden).toEqual(expected.hidden);
    actual.gram.forEach((value, index) => {
      expect(value).toBeCloseTo(expected.gram[index]!, 4);
    });
    expect(half.memory().tensors).toBe(0);
  });

  it('is believed when half is too much as well', async () => {
    await using backend = await smallBackend(2);
    await expect(states(backend)).rejects.toMatchObject({ code: 'PARE_BACKEND_OUT_OF_MEMORY' });
  });
});
