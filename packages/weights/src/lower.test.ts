import { createRandom, hostTensor, type QuantizedWeight, type WeightForm } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { evaluateGraph } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { dequantize } from './dequantize.js';
import { lowerWeight } from './lower.js';
import { quantizeMatrix } from './quantize.js';
import type { QuantizerOptions, ScaleType } from './scheme.js';

const [rows, columns] = [5, 48];
const random = createRandom(1);
const weight = Float32Array.from({ length: rows * columns }, () => random() - 0.4);

function quantized(options: QuantizerOptions, scaleType: ScaleType = 'float16'): QuantizedWeight {
  return quantizeMatrix(weight, [rows, columns], options, scaleType);
}

function evaluate(form: WeightForm) {
  const builder = new GraphBuilder('weight');
  const value = lowerWeight(builder, form, 'w');
  expect(value).toMatchObject({ dtype: 'float32', shape: form.shape });
  builder.output(value, 'dense');
  const graph = builder.build();
  return { graph, dense: evaluateGraph(graph, {})['dense']!.data };
}

describe('lowerWeight', () => {
  const schemes = [2, 3, 4, 5, 8].flatMap((bits) =>
    [true, false].flatMap((symmetric) =>
      [{ granularity: 'tensor' as const }, { groupSize: -1 }, { groupSize: 16 }, { groupSize: 20 }].flatMap((grids) =>
        (['float32', 'float16', 'bfloat16'] as const).map((scaleType) => ({ scaleType, bits, symmetric, ...grids })),
      ),
    ),
  );

  it.each(schemes)('gives the matrix that the form stands for: %o', ({ scaleType, ...options }) => {
    const form = quantized(options, scaleType);
    const { graph, dense } = evaluate(form);
    expect(dense).toEqual(dequantize(form));
    expect(graph.initializers.get('w')!.dtype).toBe(options.bits <= 4 ? 'uint4' : 'uint8');
    expect(graph.initializers.get('w.scales')!.dtype).toBe(scaleType);
  });

  it.each([3, 8])('follows a group index at %s bits', (bits) => {
    for (const symmetric of [true, false]) {
      const form = { ...quantized({ bits, symmetric, groupSize: 16 }), groupIndex: Int32Array.from({ length: columns }, (_, column) => (column * 7) % 3) };
      expect(evaluate(form).dense).toEqual(dequantize(form));
    }
  });

  it.each([{ granularity: 'tensor' as const }, { groupSize: -1 }, { groupSize: 16 }, { groupSize: 20 }])('looks 8-bit floats up: %o', (grids) => {
    for (const scaleType of ['float32', 'bfloat16'] as const) {
      const form = quantized({ bits: 8, symmetric: true, numbers: 'float8-e4m3', ...grids }, scaleType);
      expect(evaluate(form).dense).toEqual(dequantize(form));
    }
  });

  it('casts dense weights', () => {
    const dense = (dtype: 'float32' | 'bfloat16', data: Float32Array | Uint16Array): WeightForm => ({ form: 'dense', shape: [2], tensor: hostTensor(dtype, [2], data) });
    expect([...(evaluate(dense('float32', Float32Array.of(1.5, -2))).dense as Float32Array)]).toEqual([1.5, -2]);
    expect([...(evaluate(dense('bfloat16', Uint16Array.of(0x3fc0, 0xc000))).dense as Float32Array)]).toEqual([1.5, -2]);
  });

  it('refuses a shared weight', () => {
    expect(() => lowerWeight(new GraphBuilder('g'), { form: 'shared', shape: [2, 2], with: 'embedding' }, 'w')).toThrow(
      expect.objectContaining({ code: 'PARE_FORM_UNSUPPORTED' }),
    );
  });
});
