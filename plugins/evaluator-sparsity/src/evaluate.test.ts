import { SafetensorsFile, tensorEntry, writeSafetensors } from '@pare/model';
import { memoryText, probeTechnique, readDump, sampleText, startTestHost, tinyModel, type FixtureName } from '@pare/testkit';
import { rename } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { sparsity, type TensorSparsity } from './index.js';

/** Rewrites a tensor of a model folder: `change` gets each element's index. */
async function edit(path: string, temporary: string, name: string, change: (index: number, value: number) => number): Promise<void> {
  {
    await using file = await SafetensorsFile.open(path);
    const entries = await Promise.all(
      file.names.map(async (tensor) => {
        const value = await file.read(tensor);
        if (tensor === name) for (let index = 0; index < value.data.length; index++) value.data[index] = change(index, Number(value.data[index]));
        return tensorEntry(tensor, value);
      }),
    );
    await writeSafetensors(temporary, entries);
  }
  await rename(temporary, path);
}

async function measure(name: FixtureName, tensor: string, change: (index: number, value: number) => number): Promise<{ metrics: Readonly<Record<string, number>>; tensor: TensorSparsity }> {
  await using tiny = await tinyModel(name);
  await edit(tiny.join('model', 'model.safetensors'), tiny.join('changed.safetensors'), tensor, change);
  await using host = await startTestHost({ plugins: [sparsity] });
  const { metrics, evaluations } = await host.evaluate({ model: tiny.model, evaluators: ['sparsity'], backend: 'reference' });
  const { tensors } = evaluations[0]!.details as { tensors: TensorSparsity[] };
  return { metrics, tensor: tensors.find((entry) => entry.tensor === tensor)! };
}

/** Codes that stand for zero among those that a dump holds: the zero point of a symmetric grid is 2^(bits − 1). */
async function codesOfZero(directory: string): Promise<{ zeros: number; elements: number }> {
  let zeros = 0;
  let elements = 0;
  for (const form of (await readDump(directory)).values()) {
    if (form.form !== 'quantized') continue;
    expect(form.zeros).toBeUndefined();
    for (const code of form.codes) if (code === 2 ** (form.scheme.bits - 1)) zeros++;
    elements += form.codes.length;
  }
  return { zeros, elements };
}

describe('sparsity', () => {
  it('counts zeros of linear layers and of everything', async () => {
    const { metrics, tensor } = await measure('llama', 'model.layers.0.mlp.up_proj.weight', (index, value) => (index % 4 < 2 ? 0 : value));
    const linear = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64);
    const parameters = linear + 2 * 160 * 64 + 5 * 64;
    const zeros = (128 * 64) / 2;
    expect(metrics).toEqual({ sparsity: zeros / linear, totalSparsity: zeros / parameters, nonzeroParameters: parameters - zeros });
    expect(tensor).toEqual({ tensor: 'model.layers.0.mlp.up_proj.weight', shape: [128, 64], zeros, sparsity: 0.5, patterns: ['2:4', '4:8'] });
  });

  it('leaves embedding and norms out of the linear layers', async () => {
    const { metrics } = await measure('llama', 'model.embed_tokens.weight', () => 0);
    expect(metrics['sparsity']).toBe(0);
    expect(metrics['totalSparsity']).toBeGreaterThan(0.1);
  });

  it('looks for patterns along the inputs of matrices that are stored transposed', async () => {
    // Stored [in, out] = [64, 256]: whole inputs are zero, three of every four.
    const { tensor } = await measure('gpt2', 'transformer.h.0.mlp.c_fc.weight', (index, value) => (Math.floor(index / 256) % 4 < 3 ? 0 : value));
    expect(tensor).toMatchObject({ sparsity: 0.75, patterns: ['2:4', '4:8', '1:4'] });
  });

  it('sees the zeros of a quantized model', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [sparsity, probeTechnique()] });
    const { metrics, metricsBefore } = await host.compress({
      model: tiny.model,
      recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 2, groupSize: 32 } }] },
      calibration: { data: memoryText(sampleText(500)), samples: 1, sequenceLength: 8 },
      output: tiny.join('out'),
      formats: ['dump'],
      backend: 'reference',
      evaluate: { evaluators: ['sparsity'] },
    });
    expect(metricsBefore['sparsity']).toBe(0);
    const { zeros, elements } = await codesOfZero(tiny.join('out'));
    expect(zeros).toBeGreaterThan(elements / 10);
    expect(metrics['sparsity']).toBe(zeros / elements);
  });

  it('stops between tensors', async () => {
    await using tiny = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [sparsity] });
    const controller = new AbortController();
    host.events.on('progress', () => {
      controller.abort();
    });
    await expect(host.evaluate({ model: tiny.model, evaluators: ['sparsity'], backend: 'reference', signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});
