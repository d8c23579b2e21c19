import type { ModelSummary, ModuleInfo, TensorInfo } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { sizeOf } from './size.js';

function summary(parts: { tensors: TensorInfo[]; compressed?: string[]; bytes: number; config?: Record<string, unknown> }): ModelSummary {
  const modules = (parts.compressed ?? []).map((name) => ({ name, form: 'quantized' }) as ModuleInfo);
  const parameters = parts.tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  return { name: 'model', description: undefined as never, config: parts.config ?? {}, modules, tensors: parts.tensors, parameters, bytes: parts.bytes };
}

describe('sizeOf', () => {
  it('gives a dense model its own type and ratio 1', () => {
    const size = sizeOf(summary({ tensors: [{ name: 'a.weight', dtype: 'bfloat16', shape: [10, 4] }, { name: 'norm.weight', dtype: 'bfloat16', shape: [4] }], bytes: 88 }));
    expect(size).toEqual({ parameters: 44, bytes: 88, bitsPerWeight: 16, compressionRatio: 1, baselineBytes: 88, baselineType: 'bfloat16' });
  });

  it('counts untouched tensors in bits per weight and ratio', () => {
    // 64×64 at 4 bits with a float16 scale for each group of 32, and an untouched 64×64 in float16.
    const bytes = (64 * 64 * 4 + 128 * 16) / 8 + 64 * 64 * 2;
    const tensors: TensorInfo[] = [{ name: 'q.weight', dtype: 'float16', shape: [64, 64] }, { name: 'embed.weight', dtype: 'float16', shape: [64, 64] }];
    const size = sizeOf(summary({ tensors, compressed: ['q'], bytes }));
    expect(size.bitsPerWeight).toBeCloseTo((4.5 + 16) / 2, 12);
    expect(size.compressionRatio).toBeCloseTo(16 / ((4.5 + 16) / 2), 12);
  });

  it('takes the original type of compressed matrices from the configuration, old key or new', () => {
    const tensors: TensorInfo[] = [{ name: 'q.weight', dtype: 'float16', shape: [8, 8] }];
    for (const config of [{ torch_dtype: 'float32' }, { dtype: 'float32' }, { torch_dtype: 'torch.float32' }]) {
      expect(sizeOf(summary({ tensors, compressed: ['q'], bytes: 40, config })).baselineBytes).toBe(256);
    }
    expect(sizeOf(summary({ tensors, compressed: ['q'], bytes: 40, config: { dtype: 'auto' } })).baselineBytes).toBe(128);
  });

  it('leaves uncompressed tensors in the type they have, whatever the configuration says', () => {
    const size = sizeOf(summary({ tensors: [{ name: 'norm.weight', dtype: 'float32', shape: [8] }], bytes: 32, config: { dtype: 'bfloat16' } }));
    expect(size.baselineType).toBe('float32');
    expect(size.compressionRatio).toBe(1);
  });
});
