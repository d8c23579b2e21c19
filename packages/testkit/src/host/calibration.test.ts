import type { TechniqueContext } from '@pare/core';
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
