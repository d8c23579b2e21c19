import { cpuBackend } from '@pare/backend-cpu';
import { huggingFaceFormat } from '@pare/format-hf';
import { leakCheckedBackend, memoryText, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { rtn } from '@pare/technique-rtn';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { divergence, type DivergenceStatistics } from './index.js';

const text = memoryText(sampleText(3000), 'prose');
const commonOptions = { samples: 4, sequenceLength: 16 };

describe('divergence', () => {
  it('of a model from itself is nothing', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [divergence] });
    const { metrics } = await host.evaluate({ model: folder.model, original: folder.model, evaluators: ['divergence'], data: text, commonOptions, backend: 'reference' });
    expect(metrics).toEqual({
      klDivergence: 0,
      klDivergenceMedian: 0,
      klDivergence99: 0,
      klDivergenceMax: 0,
      topOneAgreement: 1,
      perplexityRatio: 1,
      logPerplexityRatio: 0,
      probabilityChange: 0,
      probabilityChangeRms: 0,
    });
  });

  it('grows as bits are taken away, and is measured after compression only', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [divergence, rtn, huggingFaceFormat, cpuBackend] });
    const compress = async (bits: number, backend: string): Promise<Readonly<Record<string, number>>> => {
      const { metricsBefore, metrics } = await host.compress({
        model: folder.model,
        recipe: { version: 1, stages: [{ technique: 'rtn', options: { bits, groupSize: 16 } }] },
        output: folder.join(`out-${String(bits)}-${backend}`),
        formats: ['hf'],
        backend,
        evaluate: { evaluators: ['divergence'], data: text, commonOptions },
      });
      expect(metricsBefore).toEqual({});
      return metrics;
    };
    const coarse = await compress(4, 'cpu');
    const fine = await compress(8, 'cpu');
    expect(fine['klDivergence']).toBeGreaterThan(0);
    expect(coarse['klDivergence']).toBeGreaterThan(10 * fine['klDivergence']!);
    expect(coarse['topOneAgreement']).toBeLessThanOrEqual(fine['topOneAgreement']!);
    expect(coarse['klDivergenceMax']).toBeGreaterThanOrEqual(coarse['klDivergence99']!);
    expect((await compress(4, 'reference'))['klDivergence']! / coarse['klDivergence']!).toBeCloseTo(1, 3);

    const request = { model: folder.join('out-4-cpu'), original: folder.model, evaluators: ['divergence'], data: text, commonOptions, backend: 'cpu' };
    const { metrics, evaluations } = await host.evaluate(request);
    expect(metrics).toEqual(coarse);
    const details = evaluations[0]!.details as unknown as DivergenceStatistics;
    expect(details).toMatchObject({ tokens: 4 * 15, windows: 4, text: 'prose' });
    // One model's loss minus the other's is the logarithm of the perplexities' ratio.
    expect(Math.log(details.perplexity.model.mean) - Math.log(details.perplexity.original.mean)).toBeCloseTo(metrics['logPerplexityRatio']!, 10);
    expect(details.perplexity.logarithmOfRatio.standardError).toBeGreaterThan(0);
  });

  it('refuses windows beyond the positions, other vocabularies, and going without an original', async () => {
    await using folder = await tinyModel('llama');
    await using other = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [divergence] });
    const request = { model: folder.model, original: other.model, evaluators: ['divergence'], data: text, commonOptions, backend: 'reference' };
    await expect(host.evaluate({ ...request, commonOptions: { sequenceLength: 129 } })).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG' });
    await expect(host.evaluate({ ...request, original: undefined })).rejects.toMatchObject({ code: 'PARE_ORIGINAL_MISSING' });
    await expect(host.evaluate({ ...request, data: undefined })).rejects.toMatchObject({ code: 'PARE_DATA_MISSING' });
    const config = join(other.model, 'config.json');
    await writeFile(config, (await readFile(config, 'utf8')).replace(/"max_position_embeddings": \d+/, '"max_position_embeddings": 8'));
    await expect(host.evaluate(request)).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { positions: 8 } });
  });

  it('stops when it is cancelled, and leaves nothing on the device', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [divergence] });
    await using backend = await leakCheckedBackend();
    for (const stop of ['original, embedding', 'original, block 1 of 2', 'model, block 2 of 2']) {
      const controller = new AbortController();
      const listen = ({ detail }: { readonly detail?: string | undefined }): void => {
        if (detail === stop) controller.abort();
      };
      host.events.on('progress', listen);
      const run = host.evaluate({ model: folder.model, original: folder.model, evaluators: ['divergence'], data: text, commonOptions, backend, signal: controller.signal });
      await expect(run).rejects.toMatchObject({ code: 'PARE_ABORTED' });
      host.events.off('progress', listen);
    }
    expect(host.recorded.some(({ event, data }) => event === 'progress' && data.detail === 'heads')).toBe(false);
  });
});
