import { llamaArchitecture } from '@pare/architecture-llama';
import { referenceBackend } from '@pare/backend-reference';
import { createRandom, tensorTransfer, type Backend, type CapabilityRef, type DeviceTensor, type HostTensor, type Model, type StatisticRef } from '@pare/core';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openModel } from '../open/index.js';
import { absMaxStatistic, absMeanStatistic, defineStatistic, gramStatistic, squareSumStatistic } from '../statistics/index.js';
import { createBlockRunner, type BlockRunnerOptions } from './block-runner.js';

/* Passes over several devices: the reference backend three times, each with tensors that the others refuse. */

const open = (name: string): Promise<Model> => openModel(fileURLToPath(new URL(`../../../testkit/fixtures/architectures/${name}`, import.meta.url)), { architectures: [llamaArchitecture] });

let devices: Backend[];
/** How often a device was asked to copy from another by itself. */
let transfers: number;
beforeEach(async () => {
  transfers = 0;
  devices = [];
  for (let index = 0; index < 3; index++) devices.push(await referenceBackend.create({}, { log: console }));
});
afterEach(async () => {
  for (const device of devices) {
    expect(device.memory().tensors).toBe(0);
    await device[Symbol.asyncDispose]();
  }
});

interface Pretence {
  /** Has memory of its own, so that weights go there as they are stored. */
  readonly separate?: boolean;
  /** Is asked to copy tensors by itself, and cannot. */
  readonly transfers?: boolean;
  /** Fails at its n-th run, counted from 1. */
  readonly failsAt?: number;
}

function pretend(device: Backend, { separate = false, transfers: copies = false, failsAt = Infinity }: Pretence): Backend {
  let runs = 0;
  const replaced: Partial<Backend> = {
    ...(separate ? { device: { ...device.device, separate: { valueBytes: 2 ** 30, statesBytes: 2 ** 30 } } } : {}),
    async compile(graph) {
      const executable = await device.compile(graph);
      return {
        graph,
        run: (inputs, options) => (++runs === failsAt ? Promise.reject(new Error('the device is gone')) : executable.run(inputs, options)),
        [Symbol.asyncDispose]: () => executable[Symbol.asyncDispose](),
      };
    },
    capability<T>(ref: CapabilityRef<T>): T | undefined {
      if (ref.id !== tensorTransfer.id || !copies) return device.capability(ref);
      transfers++;
      return { receive: () => undefined } as T;
    },
  };
  return new Proxy(device, {
    get(target, key) {
      const value: unknown = key in replaced ? Reflect.get(replaced, key) : Reflect.get(target, key);
      return typeof value === 'function' ? (value as (...values: unknown[]) => unknown).bind(target) : value;
    },
  });
}

/** The first device with some of the others as its peers. */
function together(count: number, pretences: readonly Pretence[] = []): Backend {
  const [first, ...peers] = devices.slice(0, count).map((device, index) => pretend(device, pretences[index] ?? {}));
  return new Proxy(first!, { get: (target, key) => (key === 'peers' ? peers : (Reflect.get(target, key) as unknown)) });
}

/** Windows of random tokens. */
function windowsOf(count: number, length: number): Int32Array[] {
  const random = createRandom(3);
  return Array.from({ length: count }, () => Int32Array.from({ length }, () => Math.floor(random() * 160)));
}

const statistics = [gramStatistic, absMaxStatistic, absMeanStatistic, squareSumStatistic] as const;

/** Everything that passes make of a model: states, likelihoods, and statistics of a block's linear layers. */
async function everything(backend: Backend, model: Model, windows: readonly Int32Array[], wanted: readonly StatisticRef<unknown>[] = statistics, options: Partial<BlockRunnerOptions> = {}): Promise<number[][]> {
  await using runner = createBlockRunner({ model, backend, chunkTokens: 14, ...options });
  await using hidden = await runner.embed(windows);
  await runner.advance(0, hidden);
  const modules = model.modules.filter(({ block, kind }) => block === 1 && kind === 'linear').map(({ name }) => name);
  using collected = await runner.collect(1, hidden, modules.map((module) => ({ module, statistics: wanted })));
  const results: number[][] = [];
  for (const module of modules) {
    for (const statistic of wanted) {
      const value = collected.get(module, statistic) as { readonly rows: number; readonly values?: Float32Array; readonly matrix?: DeviceTensor };
      results.push([value.rows], Array.from(value.values ?? ((await backend.read(value.matrix!)).data as Float32Array)));
    }
  }
  const joined = (tensors: readonly HostTensor[]): number[] => tensors.flatMap(({ data }) => Array.from(data as Float32Array));
  results.push(joined(await Promise.all(hidden.chunks.map((_, chunk) => hidden.read(chunk)))));
  await runner.advance(1, hidden);
  results.push(...(await runner.negativeLogLikelihood(hidden, windows)).map((losses) => [...losses]));
  results.push(joined(await runner.logits(hidden)));
  return results;
}

function expectSame(found: readonly (readonly number[])[], expected: readonly (readonly number[])[]): void {
  expect(found.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  const largest = found.reduce((most, values, list) => values.reduce((more, value, index) => Math.max(more, Math.abs(value - expected[list]![index]!) / (1 + Math.abs(value))), most), 0);
  expect(largest).toBeLessThan(1e-5);
}

describe('passes over several devices', () => {
  // Experts count the tokens that reach them.
  it.each(['llama', 'qwen3_moe'])('give what one gives, for %s', async (name) => {
    await using model = await open(name);
    const windows = windowsOf(8, 7);
    const alone = await everything(devices[0]!, model, windows);
    for (const spillBytes of [undefined, 0]) expectSame(await everything(together(3), model, windows, statistics, { spillBytes }), alone);
    for (const device of devices) expect(device.memory().peakBytes).toBeGreaterThan(0);
  });

  it('read each weight once for all of them', async () => {
    await using model = await open('llama');
    const read: string[] = [];
    const counting = new Proxy(model, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return (...values: unknown[]): unknown => {
          if (key === 'weight') read.push(String(values[0]));
          return (value as (...values: unknown[]) => unknown).apply(target, values);
        };
      },
    });
    const separate = { separate: true };
    await using runner = createBlockRunner({ model: counting, backend: together(3, [separate, separate, separate]), chunkTokens: 7 });
    await using hidden = await runner.embed(windowsOf(3, 7));
    read.length = 0;
    await runner.advance(0, hidden);
    expect(read.length).toBe(7);
    expect(new Set(read).size).toBe(7);
  });

  it('share windows that one could take at once', async () => {
    await using model = await open('llama');
    await using runner = createBlockRunner({ model, backend: together(3), chunkTokens: 10_000 });
    await using hidden = await runner.embed(windowsOf(8, 7));
    expect(hidden.chunks.map(({ count }) => count)).toEqual([2, 2, 2, 2]);
  });

  it('go through the host where a device cannot copy from another', async () => {
    await using model = await open('llama');
    const windows = windowsOf(8, 7);
    const alone = await everything(devices[0]!, model, windows);
    expectSame(await everything(together(2, [{ transfers: true }]), model, windows), alone);
    expect(transfers).toBeGreaterThan(0);
  });

  it('leave devices alone that no window is left for', async () => {
    await using model = await open('llama');
    const windows = windowsOf(2, 7);
    const alone = await everything(devices[0]!, model, windows);
    const before = devices[2]!.memory().peakBytes;
    expectSame(await everything(together(3), model, windows), alone);
    expect(devices[2]!.memory().peakBytes).toBe(before);
  });

  it('add up in one place what cannot be put together', async () => {
    await using model = await open('llama');
    const { combine: _, ...sums } = squareSumStatistic;
    const plain = defineStatistic({ ...sums, id: 'plain-squares' });
    const windows = windowsOf(5, 7);
    expectSame(await everything(together(3), model, windows, [plain]), await everything(devices[0]!, model, windows, [plain]));
  });

  it('end together when one fails, and leave nothing behind', async () => {
    await using model = await open('llama');
    for (const failsAt of [1, 2, 3, 4]) {
      await expect(everything(together(3, [{}, { failsAt }]), model, windowsOf(8, 7))).rejects.toThrow('the device is gone');
    }
  });

  it('stop when they are told to', async () => {
    await using model = await open('llama');
    const stopper = new AbortController();
    const progress: string[] = [];
    const options: Partial<BlockRunnerOptions> = {
      signal: stopper.signal,
      onProgress: ({ task, completed, total }) => {
        progress.push(`${task} ${String(completed)}/${String(total)}`);
        if (task === 'collect' && completed === 2) stopper.abort();
      },
    };
    await expect(everything(together(2), model, windowsOf(8, 7), statistics, options)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect(progress.slice(0, 6)).toEqual(['embed 1/4', 'embed 2/4', 'embed 3/4', 'embed 4/4', 'advance 1/4', 'advance 2/4']);
  });
});
