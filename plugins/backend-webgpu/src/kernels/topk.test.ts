import { checkTopK } from '@pare/conformance';
import { createRandom } from '@pare/core';
import type { DeviceTraits } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';
import { topK } from './topk.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

type Data = Float32Array | Int32Array | Uint32Array;

function random(count: number, seed: number): Float32Array {
  const next = createRandom(seed);
  // Few distinct values, so that there are many ties.
  return Float32Array.from({ length: count }, () => Math.round((next() - 0.5) * 200) / 8);
}

const check = (rows: number, columns: number, k: number, largest: boolean, x: Data, traits: DeviceTraits = guaranteedTraits): Promise<void> =>
  checkTopK(gpu.runner, (request) => topK(request, traits), { rows, columns, k, largest }, x);

describe.each([true, false])('largest %s', (largest) => {
  it.each([
    [1, 1, 1],
    [3, 5, 2],
    [4, 64, 64],
    [2, 300, 7],
    [40, 33, 3],
    [2, 2048, 2048],
    [2, 2049, 1],
    [3, 5000, 50],
    [1, 5000, 1024],
  ] as const)('of [%i, %i], k = %i', (rows, columns, k) => check(rows, columns, k, largest, random(rows * columns, columns)));

  it('needs rounds and windows', async () => {
    await check(5, 7000, 700, largest, random(35_000, 1), tinyTraits);
    await check(700, 40, 5, largest, random(28_000, 2), tinyTraits);
  });

  it('sorts whole rows for large k', async () => {
    await check(1, 4097, 4097, largest, random(4097, 3));
    await check(2, 3000, 1500, largest, random(6000, 4), tinyTraits);
  });

  it('puts NaN first and takes zeros of both signs as equal', async () => {
    const x = Float32Array.of(0, -0, NaN, 1, -Infinity, -1, NaN, Infinity, -0, 0, 1e-40, -1e-40);
    await check(1, 12, 12, largest, x);
    await check(3, 4, 3, largest, x);
  });

  it('orders integers', async () => {
    await check(2, 6, 5, largest, Int32Array.of(3, -1, 2 ** 31 - 1, -(2 ** 31), 0, -1, 7, 7, 7, -7, 7, 0));
    await check(2, 6, 5, largest, Uint32Array.of(3, 4_294_967_295, 2 ** 31, 0, 1, 3, 7, 7, 7, 8, 7, 0));
  });
});

it('has nothing to do without rows or k', () => {
  expect(topK({ rows: 0, columns: 4, k: 2, largest: true, type: 'float32' }, guaranteedTraits).dispatches).toEqual([]);
  expect(topK({ rows: 4, columns: 4, k: 0, largest: true, type: 'float32' }, guaranteedTraits).dispatches).toEqual([]);
});
