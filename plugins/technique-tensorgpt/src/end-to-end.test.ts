import { cpuBackend } from '@pare/backend-cpu';
import { perplexity } from '@pare/evaluator-perplexity';
import { huggingFaceFormat } from '@pare/format-hf';
import { onnxFormat } from '@pare/format-onnx';
import { gptq } from '@pare/technique-gptq';
import { memoryText, sampleText, startTestHost, tinyModel } from '@pare/testkit';
import { stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { tensorgpt } from './index.js';

const plugins = [tensorgpt, gptq, cpuBackend, huggingFaceFormat, onnxFormat, perplexity];
const calibration = { data: memoryText(sampleText(6000)), samples: 4, sequenceLength: 32 };
const trains = { technique: 'tensorgpt', options: { maxRank: 2 } };
const codes = { technique: 'gptq', options: { bits: 4, groupSize: 32, actOrder: true, staticGroups: true } };

describe('tensorgpt, then gptq on the blocks', () => {
  it.each(['llama', 'gpt2', 'opt'] as const)('runs in onnxruntime as it does in memory, with the trains in the file: %s', async (architecture) => {
    await using folder = await tinyModel(architecture);
    await using host = await startTestHost({ plugins });
    const recipe = { version: 1, stages: [trains, codes] } as const;
    const request = { model: folder.model, recipe, calibration, backend: 'cpu' };
    const planned = await host.plan({ ...request, formats: ['onnx'] });
    expect(planned.stages[0]!.modules).toMatchObject([{ produces: 'tensor-train' }]);
    const output = folder.join('out');
    const dtype = { dtype: ['fp32', 'q4'], accuracyLevel: 0 };
    // Every file is run by onnxruntime and compared with the model in memory before it is kept.
    await host.compress({ ...request, formats: [{ id: 'onnx', options: dtype }], output });
    const dense = folder.join('dense');
    await host.compress({ ...request, recipe: { version: 1, stages: [codes] }, formats: [{ id: 'onnx', options: dtype }], output: dense });
    const bytes = async (directory: string): Promise<number> => (await stat(`${directory}/onnx/model_q4.onnx`)).size;
    expect(await bytes(output)).toBeLessThan(await bytes(dense));

    const evaluation = { evaluators: ['perplexity'], data: memoryText(sampleText(3000)), commonOptions: { samples: 4, sequenceLength: 16 }, backend: 'cpu' };
    const inMemory = await host.evaluate({ ...evaluation, model: folder.model, recipe: { recipe, calibration } });
    const { metrics } = await host.evaluate({ ...evaluation, model: `${output}/onnx/model_q4.onnx` });
    expect(metrics['perplexity']! / inMemory.metrics['perplexity']!).toBeCloseTo(1, 4);
  });

  it('is refused by formats that know no trains, and written multiplied out when asked', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const request = { model: folder.model, recipe: { version: 1, stages: [trains] } as const, formats: ['hf'], backend: 'reference' };
    await expect(host.plan(request)).rejects.toMatchObject({ code: 'PARE_FORMAT_REFUSED', message: expect.stringContaining('tensor trains') as string });
    const output = folder.join('out');
    await host.compress({ ...request, set: ['hf.multiplyOut=true'], output });
    await using model = await host.openModel(output);
    expect(model.modules.find(({ kind }) => kind === 'embedding')).toMatchObject({ form: 'dense' });
  });

  it('refuses linear layers', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const stage = { ...trains, targets: { include: ['linear'] } };
    await expect(host.plan({ model: folder.model, recipe: { version: 1, stages: [stage] }, formats: ['onnx'], backend: 'reference' })).rejects.toMatchObject({ code: 'PARE_TARGET_REFUSED' });
  });
});
