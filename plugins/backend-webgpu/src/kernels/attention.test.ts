import { attentionRequest, checkAttention } from '@pare/conformance';
import type { AttentionRequest, DeviceTraits } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { attention, type AttentionChoice } from './attention.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

const check = (changes: Partial<AttentionRequest>, traits: DeviceTraits = guaranteedTraits, choice: AttentionChoice = {}, fillMask?: (mask: Float32Array) => void): Promise<Float32Array> =>
  checkAttention(gpu.runner, (request) => attention(request, traits, choice), changes, fillMask);

const sizes = [
  { queries: 1, keys: 1, headSize: 1 },
  { queries: 1, keys: 70, headSize: 16 },
  { queries: 5, keys: 5, headSize: 33 },
  { queries: 33, keys: 65, headSize: 17, valueSize: 12 },
  { queries: 40, keys: 130, headSize: 64 },
  { queries: 3, keys: 9, headSize: 128 },
  { queries: 3, keys: 7, headSize: 256, valueSize: 256 },
  { queries: 4, keys: 6, headSize: 20, valueSize: 130 },
];

describe.each(sizes)('$queries queries, $keys keys, heads of $headSize', (size) => {
  it('without a mask', () => check(size).then(() => undefined));
  it('causal, with shared key heads', () => check({ ...size, heads: 4, keyHeads: 2, causal: true, batch: 2 }).then(() => undefined));
  it('with a mask and a cap', () =>
    check({ ...size, heads: 3, cap: 0.7, mask: [0, size.queries * size.keys, size.keys, 1] }, tinyTraits).then(() => undefined));
});

it('takes heads by any strides', async () => {
  const strides = { qStrides: [4000, 16, 200], kStrides: [9000, 1100, 18], vStrides: [7000, 900, 13], yStrides: [5000, 600, 15] } as const;
  await check({ batch: 2, heads: 6, keyHeads: 2, queries: 9, keys: 40, headSize: 16, valueSize: 12, causal: true, ...strides });
});

it.each([
  { name: 'keys of a batch', mask: [70, 0, 0, 1] },
  { name: 'queries and keys', mask: [0, 0, 70, 1] },
  { name: 'a head', mask: [0, 1, 0, 0] },
  { name: 'everything', mask: [4 * 6 * 70, 6 * 70, 70, 1] },
] as const)('broadcasts a mask along $name', async ({ mask }) => {
  await check({ batch: 2, heads: 4, keyHeads: 2, queries: 6, keys: 70, headSize: 8, mask });
});

it('shares keys out among workgroups', async () => {
  await check({ queries: 1, keys: 500, heads: 4, keyHeads: 2, headSize: 16 }, guaranteedTraits, { splits: 4 });
  await check({ queries: 3, keys: 333, heads: 2, headSize: 16, valueSize: 10, causal: true }, guaranteedTraits, { splits: 5 });
  await check({ queries: 300, keys: 300, heads: 1, headSize: 4, causal: true }, guaranteedTraits, { splits: 2 });
});

it('is cut by heads, batches, queries and keys', async () => {
  const traits = { ...tinyTraits, maximumBinding: 16_384 };
  await check({ batch: 2, heads: 4, keyHeads: 2, queries: 150, keys: 160, headSize: 16, causal: true }, traits);
  await check({ queries: 9, keys: 700, heads: 2, headSize: 4, cap: 2, causal: true, mask: [0, 0, 700, 1] }, traits, { splits: 2 });
  await check({ heads: 2, queries: 90, keys: 90, headSize: 8, mask: [0, 8100, 90, 1] }, traits);
});

describe('keys that are not seen', () => {
  it('have no weight when the mask is minus infinity', async () => {
    await check({ queries: 6, keys: 140, mask: [0, 0, 140, 1] }, guaranteedTraits, {}, (mask) => {
      for (let index = 0; index < mask.length; index++) if (index % 140 < 100) mask[index] = -Infinity;
    });
  });

  it('share the weight when all have the lowest finite mask', async () => {
    const y = await check({ queries: 2, keys: 70, scale: 0.1, mask: [0, 0, 70, 1] }, guaranteedTraits, {}, (mask) => mask.fill(-3.4028234663852886e38));
    expect(y.every(Number.isFinite)).toBe(true);
  });

  it('leave the key count from the end in force', async () => {
    await check({ queries: 3, keys: 80, causal: true });
    await check({ queries: 70, keys: 75, heads: 3, keyHeads: 1, causal: true });
  });
});

it('has nothing to do without queries and refuses what it cannot hold', () => {
  expect(attention(attentionRequest({ queries: 0 }), guaranteedTraits).dispatches).toEqual([]);
  expect(attention(attentionRequest({ batch: 0 }), guaranteedTraits).dispatches).toEqual([]);
  expect(() => attention(attentionRequest({ headSize: 257 }), guaranteedTraits)).toThrow(RangeError);
  expect(() => attention(attentionRequest({ heads: 3, keyHeads: 2 }), guaranteedTraits)).toThrow(RangeError);
});
