import { SafetensorsFile, tensorEntry, writeSafetensors } from '@pare/model';
import { startTestHost, tinyModel } from '@pare/testkit';
import { rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { compute } from './index.js';

describe('compute', () => {
  it('reports totals, parts and blocks that add up', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [compute] });
    const { metrics, evaluations } = await host.evaluate({ model: tiny.model, evaluators: [{ id: 'compute', options: { sequenceLength: 10 } }], backend: 'reference' });
    // Two blocks: q, o 64×64; k, v 32×64; gate, up, down 128×64; scores and values over 10×10; head 160×64.
    const block = 10 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64) + 2 * 10 * 10 * 64;
    const macs = 2 * block + 10 * 64 * 160;
    expect(metrics).toEqual({ macs, flops: 2 * macs, macsPerToken: macs / 10, flopsPerToken: macs / 5, effectiveMacs: macs, effectiveFlops: 2 * macs });
    const details = evaluations[0]!.details as { blocks: { macs: number }[]; parts: Record<string, number> };
    expect(details.blocks.map((entry) => entry.macs)).toEqual([block, block]);
    expect(details.parts).toEqual({ linear: 2 * (block - 2 * 10 * 10 * 64), attention: 2 * 2 * 10 * 10 * 64, head: 10 * 64 * 160, embedding: 0 });
  });

  it('skips zero weights in the effective figures, and only there', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [compute] });
    const request = { model: tiny.model, evaluators: [{ id: 'compute', options: { sequenceLength: 10 } }], backend: 'reference' };
    const before = (await host.evaluate(request)).metrics;
    const file = tiny.join('model', 'model.safetensors');
    await zeroHalf(file, tiny.join('changed.safetensors'), 'model.layers.1.mlp.up_proj.weight');
    const after = (await host.evaluate(request)).metrics;
    expect(after['macs']).toBe(before['macs']);
    expect(after['effectiveMacs']).toBe(before['macs']! - (10 * 128 * 64) / 2);
    const quick = await host.evaluate({ ...request, evaluators: [{ id: 'compute', options: { sequenceLength: 10, effective: false } }] });
    expect(Object.keys(quick.metrics)).toEqual(['macs', 'flops', 'macsPerToken', 'flopsPerToken']);
  });

  it('refuses lengths beyond the model’s positions', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [compute] });
    const report = host.evaluate({ model: tiny.model, evaluators: [{ id: 'compute', options: { sequenceLength: 100, pastLength: 29 } }], backend: 'reference' });
    await expect(report).rejects.toMatchObject({ code: 'PARE_WINDOW_TOO_LONG', data: { length: 129, positions: 128 } });
  });
});

/** Sets every other weight of a tensor to zero. */
async function zeroHalf(path: string, temporary: string, name: string): Promise<void> {
  {
    await using file = await SafetensorsFile.open(path);
    const entries = await Promise.all(
      file.names.map(async (tensor) => {
        const value = await file.read(tensor);
        if (tensor === name) for (let index = 0; index < value.data.length; index += 2) value.data[index] = index % 4 === 0 ? 0 : -0;
        return tensorEntry(tensor, value);
      }),
    );
    await writeSafetensors(temporary, entries);
  }
  await rename(temporary, path);
}
