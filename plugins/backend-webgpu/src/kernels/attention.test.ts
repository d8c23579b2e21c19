import { relativeError, runProgram } from '@pare/conformance';
import { createRandom } from '@pare/core';
import type { AttentionRequest, DeviceTraits } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { attention, type AttentionChoice } from './attention.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

function random(count: number, seed: number): Float32Array {
  const next = createRandom(seed);
  return Float32Array.from({ length: count }, () => next() + next() - 1);
}

/** A request with heads beside each other, as projections leave them. */
function request(changes: Partial<AttentionRequest>): AttentionRequest {
  const { batch = 1, heads = 2, keyHeads = heads, queries = 5, keys = queries, headSize = 8, valueSize = headSize } = changes;
  return {
    ...{ batch, heads, keyHeads, queries, keys, headSize, valueSize, scale: 1.5, cap: 0, causal: false },
    qStrides: [queries * heads * headSize, headSize, heads * headSize],
    kStrides: [keys * keyHeads * headSize, headSize, keyHeads * headSize],
    vStrides: [keys * keyHeads * valueSize, valueSize, keyHeads * valueSize],
    yStrides: [queries * heads * valueSize, valueSize, heads * valueSize],
    ...changes,
  };
}

/** The formula in float64. */
function expected(r: AttentionRequest, q: Float32Array, k: Float32Array, v: Float32Array, mask: Float32Array, size: number): Float64Array {
  const y = new Float64Array(size);
  const at = (strides: readonly number[], ...index: number[]): number => index.reduce((sum, value, axis) => sum + value * strides[axis]!, 0);
  for (let b = 0; b < r.batch; b++) {
    for (let h = 0; h < r.heads; h++) {
      const kh = Math.floor((h * r.keyHeads) / r.heads);
      for (let i = 0; i < r.queries; i++) {
        const logits: number[] = [];
        for (let j = 0; j < r.keys; j++) {
          let dot = 0;
          for (let d = 0; d < r.headSize; d++) dot += q[at(r.qStrides, b, h, i) + d]! * k[at(r.kStrides, b, kh, j) + d]!;
          let logit = dot * r.scale;
          if (r.cap > 0) logit = r.cap * Math.tanh(logit / r.cap);
          if (r.mask !== undefined) logit += mask[at(r.mask, b, h, i, j)]!;
          logits.push(r.causal && j > r.keys - r.queries + i ? -Infinity : logit);
        }
        const maximum = Math.max(...logits);
        const weights = logits.map((logit) => Math.exp(logit - maximum));
        const sum = weights.reduce((total, weight) => total + weight, 0);
        for (let d = 0; d < r.valueSize; d++) {
          let value = 0;
          for (let j = 0; j < r.keys; j++) if (weights[j]! > 0) value += (weights[j]! / sum) * v[at(r.vStrides, b, kh, j) + d]!;
          y[at(r.yStrides, b, h, i) + d] = value;
        }
      }
    }
  }
  return y;
}

function extent(sizes: readonly number[], strides: readonly number[], inner: number): number {
  return sizes.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, inner);
}

async function check(
  changes: Partial<AttentionRequest>,
  traits: DeviceTraits = guaranteedTraits,
  choice: AttentionChoice = {},
  fillMask: (mask: Float32Array) => void = () => undefined,
): Promise<Float32Array> {
  const r = request(changes);
  const q = random(extent([r.batch, r.heads, r.queries], r.qStrides, r.headSize), 1);
  const k = random(extent([r.batch, r.keyHeads, r.keys], r.kStrides, r.headSize), 2);
  const v = random(extent([r.batch, r.keyHeads, r.keys], r.vStrides, r.valueSize), 3);
  const mask = random(r.mask === undefined ? 1 : extent([r.batch, r.heads, r.queries, r.keys], r.mask, 1), 4);
  fillMask(mask);
  const y = new Float32Array(extent([r.batch, r.heads, r.queries], r.yStrides, r.valueSize));
  await runProgram(gpu.runner, attention(r, traits, choice), { q, k, v, mask, y });
  expect(relativeError(y, expected(r, q, k, v, mask, y.length))).toBeLessThan(3e-6);
  return y;
}

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
  expect(attention(request({ queries: 0 }), guaranteedTraits).dispatches).toEqual([]);
  expect(attention(request({ batch: 0 }), guaranteedTraits).dispatches).toEqual([]);
  expect(() => attention(request({ headSize: 257 }), guaranteedTraits)).toThrow(RangeError);
  expect(() => attention(request({ heads: 3, keyHeads: 2 }), guaranteedTraits)).toThrow(RangeError);
});
