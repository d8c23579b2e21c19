import { cpuBackend } from '@pare/backend-cpu';
import { isPareError } from '@pare/core';
import { huggingFaceFormat } from '@pare/format-hf';
import { gptq } from '@pare/technique-gptq';
import { rtn } from '@pare/technique-rtn';
import { folderHashes, memoryText, sampleText, startTestHost, tinyModel, type TestHost } from '@pare/testkit';
import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import presets from './index.js';

const calibration = { data: memoryText(sampleText(6000)), samples: 4, sequenceLength: 32 };
const plugins = [presets, gptq, rtn, cpuBackend, huggingFaceFormat];

describe('every preset', () => {
  it('has options that its technique knows', async () => {
    await using host = await startTestHost({ plugins });
    for (const { id, recipe } of presets) {
      const resolved = await host.resolveRecipe(id);
      expect(resolved.stages[0]!.options).toMatchObject(recipe.stages[0]!.options!);
    }
  });

  it.each(presets.map(({ id }) => id))('%s writes a folder that opens again', async (id) => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const [technique] = id.split('-') as [string];
    const grouped = !id.endsWith('w8');
    const output = folder.join('out');
    await host.compress({ model: folder.model, recipe: id, set: [...(grouped ? [`${technique}.groupSize=32`] : []), ...(id.endsWith('w3') ? ['hf.oddBits=true'] : [])], calibration, output, formats: ['hf'], backend: 'reference' });
    const { modules, manifest } = await host.inspect(output);
    expect(modules.filter(({ form }) => form === 'quantized')).toHaveLength(14);
    expect(manifest?.recipe.name).toBe(id);
  });

  it('is refused for layers that its groups do not fit, with the way out', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const error: unknown = await host.plan({ model: folder.model, recipe: 'gptq-w4', set: ['gptq.groupSize=48'], formats: ['hf'], backend: 'reference' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PARE_TARGET_REFUSED', help: expect.stringContaining('--set') as string });
  });
});

describe('gptq-w4 with a Hugging Face folder', () => {
  const request = { recipe: 'gptq-w4', set: ['gptq.groupSize=32', 'gptq.trueSequential=true'], calibration, formats: ['hf'] };

  async function stopAfterBlock0(host: TestHost, run: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
    const controller = new AbortController();
    const stop = ({ block }: { block: number }): void => {
      if (block === 0) controller.abort();
    };
    host.events.on('block:done', stop);
    const error: unknown = await run(controller.signal).catch((thrown: unknown) => thrown);
    host.events.off('block:done', stop);
    expect(isPareError(error) && error.code).toBe('PARE_ABORTED');
  }

  it.each(['reference', 'cpu'])('stopped after block 0 and resumed on %s ends with the bytes of a run without a stop', async (backend) => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const whole = await host.compress({ ...request, model: folder.model, output: folder.join('whole'), backend });
    const output = folder.join('resumed');
    await stopAfterBlock0(host, (signal) => host.compress({ ...request, model: folder.model, output, backend, signal }));
    expect((await readdir(folder.path)).sort()).toEqual(['model', 'resumed.pare-journal', 'whole']);
    const resumed = await host.compress({ ...request, model: folder.model, output, backend, resume: true });
    expect(resumed.restoredBlocks).toBe(1);
    expect(resumed.stages[0]!.loss).toBe(whole.stages[0]!.loss);
    expect(await folderHashes(output)).toEqual(await folderHashes(folder.join('whole')));
  });

  it('refuses to go on with another backend', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const output = folder.join('out');
    await stopAfterBlock0(host, (signal) => host.compress({ ...request, model: folder.model, output, backend: 'reference', signal }));
    await expect(host.compress({ ...request, model: folder.model, output, backend: 'cpu', resume: true })).rejects.toMatchObject({
      code: 'PARE_RESUME_MISMATCH',
      message: expect.stringContaining('backend was "reference", is "cpu"') as string,
    });
  });

  it('compresses a compressed folder further, from what it holds', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const common = { formats: ['hf'], backend: 'reference', calibration };
    await host.compress({ ...common, model: folder.model, recipe: 'rtn-w8', output: folder.join('w8') });
    await host.compress({ ...common, model: folder.join('w8'), recipe: 'gptq-w4', set: ['gptq.groupSize=32'], output: folder.join('w4') });
    await using before = await host.openModel(folder.join('w8'));
    await using after = await host.openModel(folder.join('w4'));
    const name = 'model.layers.0.mlp.up_proj';
    expect(await before.weight(name)).toMatchObject({ form: 'quantized', scheme: { bits: 8 } });
    expect(await after.weight(name)).toMatchObject({ form: 'quantized', scheme: { bits: 4, groupSize: 32 } });
    // Eight bits were nearly lossless, so four bits of them stay as close to the original as GPTQ comes.
    await using source = await host.openModel(folder.model);
    const [dense, compressed] = [await source.denseWeight(name), await after.denseWeight(name)];
    const error = dense.data.reduce((sum, value, index) => sum + (value - compressed.data[index]!) ** 2, 0);
    const power = dense.data.reduce((sum, value) => sum + value ** 2, 0);
    expect(error / power).toBeLessThan(0.05);
    expect(error).toBeGreaterThan(0);
  });
});
