import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { leakCheckedBackend, memoryText, probeTechnique, readDump, sampleText, startTestHost, tinyModel } from '../index.js';

const recipe = { version: 1 as const, stages: [{ technique: 'probe', options: { bits: 4 } }] };
const calibration = { data: memoryText(sampleText(4000)), samples: 4, sequenceLength: 32 };

describe('compress', () => {
  it('streams through the blocks and writes a verified output', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    await using backend = await leakCheckedBackend();
    const output = folder.join('out');
    const result = await host.compress({ model: folder.model, recipe, calibration, output, formats: ['dump'], backend });

    expect(await readdir(folder.path)).toEqual(['model', 'out']);
    expect((await readdir(output)).sort()).toEqual(['pare.json', 'weights.safetensors']);
    const forms = await readDump(output);
    expect([...forms.values()].filter(({ form }) => form === 'quantized')).toHaveLength(14);
    expect(forms.get('lm_head')?.form).toBe('dense');
    expect(result.stages[0]).toMatchObject({ technique: 'probe', modules: 14, fallbacks: [] });
    // 4 windows of 32 tokens reached every module, and modules with the same input saw the same.
    const reports = new Map(result.stages[0]!.reports.map((report) => [report.module, report]));
    expect([...reports.values()].every(({ details }) => details?.['rows'] === 128)).toBe(true);
    expect(reports.get('model.layers.0.self_attn.q_proj')?.loss).toBe(reports.get('model.layers.0.self_attn.k_proj')?.loss);
    expect(reports.get('model.layers.0.self_attn.q_proj')?.loss).not.toBe(reports.get('model.layers.1.self_attn.q_proj')?.loss);
    expect(JSON.parse(await readFile(join(output, 'pare.json'), 'utf8'))).toMatchObject({ pare: 1, recipe: { stages: [{ technique: 'probe', options: { bits: 4, groupSize: -1 } }] } });
  });
});
