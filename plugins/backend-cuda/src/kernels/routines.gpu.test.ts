import { checkAttention, describeRoutines } from '@pare/conformance';
import { devicePrograms, type AttentionRequest } from '@pare/executor';
import { afterAll, describe, expect, it } from 'vitest';
import { attention } from './attention.js';
import { createCudaBackend } from '../create-backend.js';
import { optionsSchema } from '../options.js';
import { cudaRoutines } from './index.js';

const backend = await createCudaBackend(optionsSchema.parse({}));
afterAll(() => backend[Symbol.asyncDispose]());

const runner = backend.capability(devicePrograms)!;

describeRoutines('cuda', { routines: cudaRoutines('float32', 90), runner });

describe('attention on tensor cores', () => {
  // Operands have 8 significant bits, half of the last one is 2e-3. A score is off by about that times its size, and its share with it: scores are kept near 1, as in models.
  const attend = (changes: Partial<AttentionRequest>, fill?: (mask: Float32Array) => void): Promise<Float32Array> =>
    checkAttention(
      runner,
      (request) => {
        const program = attention(request, runner.traits, true);
        expect(program.dispatches.map(({ kernel }) => kernel.name)).toEqual(['attention-tensor']);
        return program;
      },
      { scale: 1 / Math.sqrt(changes.headSize!), ...changes },
      fill,
      6e-3,
    );

  it.each([
    { queries: 64, keys: 64, headSize: 16, valueSize: 16 },
    { queries: 100, keys: 130, headSize: 64, valueSize: 64 },
    { queries: 140, keys: 150, headSize: 128, valueSize: 128 },
    { queries: 257, keys: 257, headSize: 96, valueSize: 32 },
  ])('attends with $queries queries, $keys keys, heads of $headSize', async (size) => {
    await attend(size);
    await attend({ ...size, heads: 4, keyHeads: 2, causal: true, batch: 2 });
    await attend({ ...size, heads: 3, cap: 0.7, mask: [0, size.queries * size.keys, size.keys, 1] });
  });

  it('takes heads by strides, and masks that hide keys', async () => {
    await attend({ batch: 2, heads: 6, keyHeads: 2, queries: 70, keys: 80, headSize: 16, valueSize: 16, causal: true, qStrides: [8000, 16, 112], kStrides: [9000, 1600, 20], vStrides: [7000, 1600, 20], yStrides: [9600, 1600, 20] });
    await attend({ queries: 64, keys: 140, headSize: 32, valueSize: 32, mask: [0, 0, 140, 1] }, (mask) => mask.forEach((_, index) => index % 140 < 100 && (mask[index] = -Infinity)));
    const y = await attend({ queries: 64, keys: 70, headSize: 16, valueSize: 16, scale: 0.1, mask: [0, 0, 70, 1] }, (mask) => mask.fill(-3.4028234663852886e38));
    expect(y.every(Number.isFinite)).toBe(true);
  });
});
