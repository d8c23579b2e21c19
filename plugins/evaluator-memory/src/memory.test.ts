import { architectures, memoryText, probeTechnique, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { keyValueBytesPerToken, memory } from './index.js';
import { peakFromStatus, peakResidentBytes } from './peak.js';

describe('keyValueBytesPerToken', () => {
  const describeLlama = (config: Record<string, number>): Parameters<typeof keyValueBytesPerToken>[0] =>
    architectures[0]!.describe({ model_type: 'llama', hidden_act: 'silu', hidden_size: 4096, intermediate_size: 11008, num_attention_heads: 32, num_hidden_layers: 32, vocab_size: 32000, ...config });

  it('is half a mebibyte in 16 bits for Llama-7B, a quarter of it with 8 heads for keys and values', () => {
    expect(keyValueBytesPerToken(describeLlama({}), 'float16')).toBe(512 * 1024);
    expect(keyValueBytesPerToken(describeLlama({ num_key_value_heads: 8 }), 'float16')).toBe(128 * 1024);
    expect(keyValueBytesPerToken(describeLlama({ num_key_value_heads: 8, head_dim: 64 }), 'float32')).toBe(128 * 1024);
  });
});

describe('peakResidentBytes', () => {
  it('reads the status file of Linux', () => {
    expect(peakFromStatus('Name:\tnode\nVmPeak:\t  999 kB\nVmHWM:\t  123456 kB\nVmRSS:\t   88 kB\n')).toBe(123456 * 1024);
    expect(peakFromStatus('')).toBeUndefined();
  });

  it('is no less than what is held now, and grows with it', async () => {
    const before = await peakResidentBytes();
    expect(before).toBeGreaterThanOrEqual(16 * 2 ** 20);
    const held = Buffer.alloc(Math.max(0, before - process.memoryUsage.rss()) + 64 * 2 ** 20, 1);
    expect(await peakResidentBytes()).toBeGreaterThan(before + 16 * 2 ** 20);
    expect(held[0]).toBe(1);
  });
});

describe('memory', () => {
  it('counts weights as stored, before and after a recipe', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [memory, probeTechnique()] });
    const { metrics, metricsBefore } = await host.compress({
      model: tiny.model,
      recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 4, groupSize: 32 } }] },
      calibration: { data: memoryText(sampleText(500)), samples: 1, sequenceLength: 8 },
      output: tiny.join('out'),
      formats: ['dump'],
      backend: 'reference',
      evaluate: { evaluators: ['memory'] },
    });
    // Per block: q, o 64×64; k, v 32×64; gate, up 128×64; down 64×128. Four bits and a float32 scale for each 32 inputs make five of the former 32.
    const linear = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64);
    const rest = 2 * 160 * 64 + 5 * 64;
    expect(metricsBefore['weightBytes']).toBe(4 * (linear + rest));
    expect(metrics['weightBytes']).toBe((5 * linear) / 8 + 4 * rest);
    // Two blocks, keys and values, two heads of 16, two bytes.
    expect(metrics['keyValueBytesPerToken']).toBe(2 * 2 * 2 * 16 * 2);
    expect(metrics['peakMemoryBytes']).toBeGreaterThanOrEqual(metricsBefore['peakMemoryBytes']!);
  });

  it('takes the type of the cache', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [memory] });
    const report = await host.evaluate({ model: tiny.model, evaluators: [{ id: 'memory', options: { keyValueType: 'float32' } }], backend: 'reference' });
    expect(report.metrics['keyValueBytesPerToken']).toBe(2 * 2 * 2 * 16 * 4);
    expect(report.evaluations[0]!.details).toMatchObject({ keyValueBytesPerToken: { float16: 256, float32: 512 }, maxPositions: 128, keyValueBytesAtMaxPositions: 512 * 128 });
  });
});
