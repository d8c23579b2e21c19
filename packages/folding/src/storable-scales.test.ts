import { bfloat16ToFloat32, float32ToBfloat16 } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { storableScales, type FoldSource } from './index.js';

const round = (values: Float32Array): Float32Array => bfloat16ToFloat32(float32ToBfloat16(values));
const norm = (channels: readonly number[], offset = 0): Extract<FoldSource, { kind: 'vector' }> => ({ kind: 'vector', tensor: 'norm.weight', channels: Int32Array.from(channels), offset });

describe('storableScales', () => {
  it.each([0, 1])('are exact for what a bfloat16 norm with offset %d stores', (offset) => {
    const values = round(Float32Array.of(0.7, -1.3, 2.1, 0.01));
    const wanted = Float64Array.of(1.7, 0.31, 5.9, 1.1);
    const scales = storableScales(norm([0, 1, 2, 3], offset), values, 'bfloat16', wanted);
    const stored = round(values.map((value, index) => (offset + value) / scales[index]! - offset));
    for (const [index, scale] of scales.entries()) {
      expect(((offset + stored[index]!) * scale) / (offset + values[index]!)).toBeCloseTo(1, 6);
      expect(scale / wanted[index]!).toBeCloseTo(1, 1);
    }
  });

  it('keep scales of zeros, of elements that no channel touches, and of what would round to nothing', () => {
    const wanted = Float64Array.of(2, 3, 1e30);
    expect([...storableScales(norm([0, -1, 2]), Float32Array.of(0, 5, 1e-15), 'bfloat16', wanted)]).toEqual([2, 3, 1e30]);
  });
});
