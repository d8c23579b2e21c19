import type { Model, WeightForm } from '@pare/core';
import { llamaArchitecture } from '@pare/architecture-llama';
import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { env, pipeline } from '@huggingface/transformers';
import { openModel, overlayModel } from '@pare/model';
import { formatContext } from '@pare/testkit';
import { quantizeMatrix } from '@pare/weights';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { onnxFormat, onnxOptions, type OnnxOptions } from './index.js';

const source = fileURLToPath(new URL('../../../examples/models/tales-7m', import.meta.url));

describe('a written folder in transformers.js', () => {
  let directory: string;
  let model: Model;
  beforeAll(async () => {
    env.allowRemoteModels = false;
    directory = await mkdtemp(join(tmpdir(), 'pare-onnx-'));
    model = await openModel(source, { architectures: [llamaArchitecture] });
  });
  afterAll(async () => {
    await model[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  async function write(weights: Model, dtype: OnnxOptions['dtype']): Promise<void> {
    await using backend = await cpuBackend.create(cpuOptions.parse({}), { log: console });
    const context = formatContext({ model: weights, options: onnxOptions.parse({ dtype }), directory, backend, log: console });
    await onnxFormat.verify(context, await onnxFormat.write(context));
    expect(backend.memory().tensors).toBe(0);
  }

  async function generate(dtype: 'fp32' | 'q4', tokens: number): Promise<string> {
    const generator = await pipeline('text-generation', directory, { dtype, device: 'cpu' });
    try {
      const output = await generator('Once upon a time', { max_new_tokens: tokens, do_sample: false });
      return (output as { generated_text: string }[])[0]!.generated_text;
    } finally {
      await generator.dispose();
    }
  }

  // What transformers (Python, float32) generates from the same folder.
  it('continues a text as the original does, from fp32', async () => {
    await write(model, ['fp32']);
    expect(await generate('fp32', 32)).toBe(
      'Once upon a time, there was a little girl named Elena. She was a little girl with a big heart. She was a little girl with a big heart. She was a',
    );
  });

  it('continues a text sensibly from 4 bits', async () => {
    const replaced = new Map<string, () => Promise<WeightForm>>();
    for (const { name, kind } of model.modules) {
      if (kind !== 'linear') continue;
      const { data, shape } = await model.denseWeight(name);
      const weight = quantizeMatrix(data, shape as [number, number], { bits: 4, symmetric: true, groupSize: 64 }, 'float32');
      replaced.set(name, () => Promise.resolve(weight));
    }
    await write(overlayModel(model, replaced), ['auto']);
    expect(await generate('q4', 12)).toMatch(/^Once upon a time, there was a \w+ \w+ \w+/);
  });
});
