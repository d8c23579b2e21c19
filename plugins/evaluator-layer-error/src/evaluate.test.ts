import { cpuBackend } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { leakCheckedBackend, memoryText, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { rtn } from '@pare/technique-rtn';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layerError, type LayerErrorDetail } from './index.js';

const text = memoryText(sampleText(3000), 'prose');
const commonOptions = { samples: 4, sequenceLength: 16 };

describe('layer-error', () => {
  it('of a model against itself is nothing', async () => {
    await using folder = await tinyModel('gpt2');
    await using host = await startTestHost({ plugins: [layerError] });
    const { metrics } = await host.evaluate({ model: folder.model, original: folder.model, evaluators: ['layer-error'], data: text, commonOptions, backend: 'reference' });
    expect(metrics).toEqual({ layerErrorMean: 0, layerErrorWorst: 0, localLayerErrorMean: 0, localLayerErrorWorst: 0 });
  });

  it('shows which block was compressed', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [layerError, rtn, huggingFaceFormat, cpuBackend] });
    const compress = async (targets: readonly string[], bits: number): Promise<string> => {
      const output = folder.join(`out-${targets.join('').replace(/\W/g, '')}-${String(bits)}`);
      const stage = { technique: 'rtn', options: { bits, groupSize: 16 }, targets: { include: targets } };
      await host.compress({ model: folder.model, recipe: { version: 1, stages: [stage] }, output, formats: ['hf'], backend: 'cpu' });
      return output;
    };
    const measure = async (model: string, backend = 'cpu'): Promise<{ blocks: readonly LayerErrorDetail[]; metrics: Readonly<Record<string, number>> }> => {
      const { metrics, evaluations } = await host.evaluate({ model, original: folder.model, evaluators: ['layer-error'], data: text, commonOptions, backend });
      return { metrics, blocks: evaluations[0]!.details!['blocks'] as LayerErrorDetail[] };
    };
    const second = await compress(['*.layers.1.*'], 4);
    const last = await measure(second);
    expect(last.blocks[0]).toEqual({ block: 0, local: 0, accumulated: 0, localByToken: 0, accumulatedByToken: 0 });
    expect(last.blocks[1]!.local).toBeGreaterThan(1e-5);
    expect(last.blocks[1]!.accumulated).toBe(last.blocks[1]!.local);
    expect(last.metrics).toEqual({
      layerErrorMean: last.blocks[1]!.local / 2,
      layerErrorWorst: last.blocks[1]!.local,
      localLayerErrorMean: last.blocks[1]!.local / 2,
      localLayerErrorWorst: last.blocks[1]!.local,
    });

    const first = await measure(await compress(['*.layers.0.*'], 4));
    expect(first.blocks[0]!.local).toBeGreaterThan(1e-5);
    // The second block is whole; what reaches its output came with its input.
    expect(first.blocks[1]!.local).toBe(0);
    expect(first.blocks[1]!.accumulated).toBeGreaterThan(1e-5);

    const fine = await measure(await compress(['*.layers.0.*'], 8));
    expect(fine.metrics['layerErrorMean']).toBeLessThan(first.metrics['layerErrorMean']! / 10);
    const reference = await measure(second, 'reference');
    expect(reference.blocks[1]!.local / last.blocks[1]!.local).toBeCloseTo(1, 4);
  });

  it('refuses windows beyond the positions, other depths, and going without an original', async () => {
    await using folder = await tinyModel('llama');
    await using other = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [layerError] });
    const request = { model: folder.model, original: other.model, evaluators: ['layer-error'], data: text, commonOptions, backend: 'reference' };
    await expect(host.evaluate({ ...request, commonOptions: { sequenceLength: 129 } })).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG' });
    await expect(host.evaluate({ ...request, original: undefined })).rejects.toMatchObject({ code: 'PARE_ORIGINAL_MISSING' });
    const config = join(other.model, 'config.json');
    await writeFile(config, (await readFile(config, 'utf8')).replace(/"num_hidden_layers": 2/, '"num_hidden_layers": 1'));
    await expect(host.evaluate(request)).rejects.toMatchObject({ code: 'PARE_BLOCKS_MISMATCH', data: { expected: '1 blocks of width 64', found: '2 blocks of width 64' } });
  });

  it('stops when it is cancelled, and leaves nothing on the device', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [layerError] });
    await using backend = await leakCheckedBackend();
    const controller = new AbortController();
    host.events.on('progress', ({ detail }) => {
      if (detail === 'block 1 of 2') controller.abort();
    });
    const run = host.evaluate({ model: folder.model, original: folder.model, evaluators: ['layer-error'], data: text, commonOptions, backend, signal: controller.signal });
    await expect(run).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect(host.recorded.some(({ event, data }) => event === 'progress' && data.detail === 'block 2 of 2')).toBe(false);
  });
});
