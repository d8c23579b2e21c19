import { memoryText, openFixture, probeTechnique, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { size, sizeOf } from './index.js';

describe('size', () => {
  it('of a dense model is its own baseline', async () => {
    await using model = await openFixture('llama-tied-rope-scaled');
    const { parameters, bytes, compressionRatio, baselineType } = sizeOf(model);
    expect(bytes).toBe(4 * parameters);
    expect({ compressionRatio, baselineType }).toEqual({ compressionRatio: 1, baselineType: 'float32' });
  });

  it('shrinks by what a recipe stores, with everything else counted', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [size, probeTechnique()] });
    const { metrics, metricsBefore, manifest } = await host.compress({
      model: folder.model,
      recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 4, groupSize: 32 } }] },
      calibration: { data: memoryText(sampleText(500)), samples: 1, sequenceLength: 8 },
      output: folder.join('out'),
      formats: ['dump'],
      backend: 'reference',
      evaluate: { evaluators: ['size'] },
    });
    // Per block: q, o 64×64; k, v 32×64; gate, up 128×64; down 64×128. Four bits and a float32 scale for each 32 inputs make five.
    const compressed = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64);
    const rest = metricsBefore['parameters']! - compressed;
    expect(metricsBefore['bitsPerWeight']).toBe(32);
    expect(metrics['parameters']).toBe(metricsBefore['parameters']);
    expect(metrics['bytes']).toBe((5 * compressed) / 8 + 4 * rest);
    expect(metrics['compressionRatio']).toBeCloseTo(metricsBefore['bytes']! / metrics['bytes']!, 12);
    expect(manifest.metrics).toEqual({ before: metricsBefore, after: metrics });
  });
});
