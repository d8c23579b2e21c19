import { webgpuBackend } from '@pare/backend-webgpu';
import { perplexity } from '@pare/evaluator-perplexity';
import { rtn } from '@pare/technique-rtn';
import { memoryText, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { svdLlm } from './index.js';

const text = memoryText(sampleText(6000));
const recipe = {
  version: 1,
  stages: [
    { technique: 'svd-llm', options: { ratio: 0.9, multipleOf: 8 } },
    { technique: 'rtn', options: { bits: 8, groupSize: 8 } },
  ],
} as const;
const evaluation = { evaluators: ['perplexity'], data: text, set: ['perplexity.samples=2', 'perplexity.sequenceLength=32'] };

// Absent only on machines without a driver, as the test configuration found out.
const devices = process.env['PARE_WEBGPU'] === 'absent' ? [] : [{ id: 'webgpu', options: { powerPreference: 'high-performance', software: true } }];

describe('codes in two factors', () => {
  it.each(devices)('count on $id for what they count on the reference backend', async (device) => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [svdLlm, rtn, perplexity, webgpuBackend] });
    const request = { model: folder.model, recipe: { recipe, calibration: { data: text, samples: 4, sequenceLength: 32 } }, ...evaluation };
    const metrics = async (backend: string | (typeof devices)[number]) => (await host.evaluate({ ...request, backend })).metrics['perplexity']!;
    const expected = await metrics('reference');
    const found = await metrics(device);
    expect(Math.abs(found / expected - 1)).toBeLessThan(1e-3);
  });
});
