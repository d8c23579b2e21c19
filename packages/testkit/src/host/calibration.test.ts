import type { TechniqueContext } from '@pare/core';
import type { CompressionRequest, Manifest } from '@pare/runtime';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { leakCheckedBackend, memoryText, probeTechnique, sampleText, startTestHost, tinyModel, type ProbeOptions, type ProbeSettings } from '../index.js';

const calibration = { data: memoryText(sampleText(4000)), samples: 3, sequenceLength: 16 };

/** The probe's losses, which are mean squares of the modules' inputs, by module. */
async function lossesOf(model: string, output: string, settings: ProbeSettings, bits: number): Promise<Map<string, number>> {
  await using host = await startTestHost({ plugins: [probeTechnique(settings)] });
  await using backend = await leakCheckedBackend();
  const recipe = { version: 1 as const, stages: [{ technique: 'probe', options: { bits } }] };
  const result = await host.compress({ model, recipe, calibration, output, formats: ['dump'], backend });
  return new Map(result.stages[0]!.reports.map(({ module, loss }) => [module, loss!]));
}

describe('what a stage is calibrated on', () => {
  it('is what the blocks before became, or what they were when the technique asks for original inputs', async () => {
    await using folder = await tinyModel('llama');
    const second = 'model.layers.1.self_attn.q_proj';
    const run = async (inputs: 'compressed' | 'original', bits: number): Promise<number> => (await lossesOf(folder.model, folder.join(`${inputs}-${String(bits)}`), { inputs }, bits)).get(second)!;
    expect(await run('original', 2)).toBe(await run('original', 8));
    const [coarse, fine, original] = [await run('compressed', 2), await run('compressed', 8), await run('original', 4)];
    expect(Math.abs(coarse - original)).toBeGreaterThan(Math.abs(fine - original));
    expect(fine).not.toBe(original);
  });

  it('is tried with other weights when the technique asks for tokens', async () => {
    await using folder = await tinyModel('llama');
    const seen: { tokens: number | undefined; loss: number | undefined }[] = [];
    const onApply = async ({ trials, modules }: TechniqueContext<ProbeOptions>): Promise<void> => {
      const module = modules.find(({ info }) => info.role === 'mlp.down')!;
      const zeros = await module.weight();
      zeros.data.fill(0);
      seen.push({ tokens: trials?.tokens, loss: await trials?.loss('mlp', new Map([[`${module.info.name}.weight`, zeros]])) });
    };
    await lossesOf(folder.model, folder.join('with'), { onApply, trialTokens: 20 }, 4);
    await lossesOf(folder.model, folder.join('without'), { onApply }, 4);
    expect(seen.map(({ tokens }) => tokens)).toEqual([16, 16, undefined, undefined]);
    expect(seen[0]!.loss).toBeGreaterThan(0);
    expect(seen[2]!.loss).toBeUndefined();
  });
});

describe('what a technique learns from', () => {
  const item = JSON.stringify({ question: 'who', answer: 'he' });

  it('is prompts, text, or both, as they are given', async () => {
    await using folder = await tinyModel('llama');
    await writeFile(folder.join('items.jsonl'), item);
    const seen: unknown[] = [];
    const onApply = async ({ prompts, windows, tokenizer }: TechniqueContext<ProbeOptions>): Promise<void> => {
      seen.push([await prompts?.text(), windows.length, (await tokenizer()).vocabularySize]);
    };
    const run = async (output: string, settings: ProbeSettings, request: Partial<CompressionRequest>): Promise<Manifest> => {
      await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'training', onApply, ...settings })], cwd: folder.path });
      await host.compress({ model: folder.model, recipe: { version: 1, stages: [{ technique: 'probe' }] }, output: folder.join(output), formats: ['dump'], backend: 'reference', ...request });
      return JSON.parse(await readFile(folder.join(`${output}/pare.json`), 'utf8')) as Manifest;
    };
    const manifest = await run('prompts', { learnsFrom: 'prompts' }, { prompts: 'items.jsonl' });
    expect(manifest).toMatchObject({ prompts: { data: 'items.jsonl', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string } });
    expect(await run('both', { learnsFrom: 'either' }, { prompts: memoryText(item), calibration })).toMatchObject({ calibration: { samples: 3 } });
    expect(await run('text', { learnsFrom: 'either' }, { calibration })).not.toHaveProperty('prompts');
    // Only techniques that train get prompts.
    await run('tensor', { scope: 'tensor' }, { prompts: memoryText(item) });
    expect(seen).toEqual([[item, 0, 160], [item, 3, 160], [undefined, 3, 160], ...new Array<unknown>(2).fill([undefined, 0, 160])]);
  });
});
