import { cpuBackend } from '@pare/backend-cpu';
import { isPareError } from '@pare/core';
import { gptqFormat } from '@pare/format-gptq';
import { huggingFaceFormat } from '@pare/format-hf';
import { onnxFormat } from '@pare/format-onnx';
import { awq } from '@pare/technique-awq';
import { cotDistillation } from '@pare/technique-cot-distillation';
import { distillSequence } from '@pare/technique-distill-sequence';
import { gptq } from '@pare/technique-gptq';
import { gkd } from '@pare/technique-gkd';
import { magnitude } from '@pare/technique-magnitude';
import { miniLlm } from '@pare/technique-minillm';
import { rtn } from '@pare/technique-rtn';
import { smoothquant } from '@pare/technique-smoothquant';
import { sparsegpt } from '@pare/technique-sparsegpt';
import { svd } from '@pare/technique-svd';
import { svdLlm } from '@pare/technique-svd-llm';
import { wanda } from '@pare/technique-wanda';
import { folderHashes, memoryText, sampleText, startTestHost, tinyModel, type TestHost } from '@pare/testkit';
import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import presets from './index.js';

const calibration = { data: memoryText(sampleText(6000)), samples: 4, sequenceLength: 32 };
/** A training of one step. */
const shortly = (technique: string): string[] => ['steps=1', 'batchSize=2', 'promptTokens=8', 'maxNewTokens=2'].map((setting) => `${technique}.${setting}`);
/** Those that learn answers: from the file, which knows better than a random teacher. */
const taught: Readonly<Record<string, string>> = { 'distill-sequence': 'source=file', 'cot-distillation': 'rationales=file' };
const prompts = memoryText(JSON.stringify({ question: 'Who?', rationale: 'He said so.', answer: 'He' }));
const plugins = [presets, awq, cotDistillation, distillSequence, gkd, gptq, magnitude, miniLlm, rtn, smoothquant, sparsegpt, svd, svdLlm, wanda, cpuBackend, gptqFormat, huggingFaceFormat, onnxFormat];

describe('every preset', () => {
  it('has options that its technique knows', async () => {
    await using host = await startTestHost({ plugins });
    for (const { id, recipe } of presets) {
      const resolved = await host.resolveRecipe(id);
      for (const [index, stage] of recipe.stages.entries()) expect(resolved.stages[index]!.options).toMatchObject(stage.options!);
    }
  });

  it.each(presets.map(({ id }) => id))('%s writes a folder that opens again', async (id) => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const quantizer = id.split('-').find((word) => ['awq', 'gptq', 'rtn', 'smoothquant'].includes(word));
    const grouped = quantizer !== undefined && !/w8(a8)?$/.test(id);
    const factorized = id.startsWith('svd');
    const trained = id.startsWith('minillm') ? ['gkd', 'minillm'] : id.startsWith('gkd') ? ['gkd'] : [];
    const learner = Object.keys(taught).find((technique) => id.startsWith(technique));
    const learning = learner === undefined ? [] : ['steps=1', taught[learner]!].map((setting) => `${learner}.${setting}`);
    const output = folder.join('out');
    await host.compress({ model: folder.model, recipe: id, set: [...learning, ...trained.flatMap(shortly), ...(factorized ? ['hf.multiplyOut=true'] : []), ...(grouped ? [`${quantizer}.groupSize=32`] : []), ...(id.endsWith('w3') ? ['hf.oddBits=true'] : [])], calibration, ...(learner !== undefined && { prompts }), output, formats: ['hf'], backend: 'reference' });
    const { modules, manifest } = await host.inspect(output);
    expect(modules.filter(({ form }) => form === 'quantized')).toHaveLength(quantizer === undefined ? 0 : 14);
    expect(manifest?.recipe.name).toBe(id);
    // Two blocks of seven layers, [64, 64] four fifths of rank 32.
    if (factorized) expect(manifest?.stages[0]!.modules).toContainEqual(expect.objectContaining({ module: 'model.layers.0.self_attn.q_proj', rank: 25 }));
  });

  it('is refused for layers that its groups do not fit, with the way out', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const error: unknown = await host.plan({ model: folder.model, recipe: 'gptq-w4', set: ['gptq.groupSize=48'], formats: ['hf'], backend: 'reference' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PARE_TARGET_REFUSED', help: expect.stringContaining('--set') as string });
  });
});

describe('a format with the id of a technique', () => {
  it('gets the settings that only it knows', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const output = folder.join('out');
    await host.compress({ model: folder.model, recipe: 'gptq-w4', set: ['gptq.groupSize=32', 'gptq.version=2'], calibration, output, formats: ['gptq'], backend: 'reference' });
    await using model = await host.openModel(output);
    expect(model.config['quantization_config']).toMatchObject({ checkpoint_format: 'gptq_v2', bits: 4, group_size: 32 });
    const both: unknown = await host.plan({ model: folder.model, recipe: 'gptq-w4', set: ['gptq.versoin=2'], formats: ['gptq'], backend: 'reference' }).catch((thrown: unknown) => thrown);
    expect(both).toMatchObject({ code: 'PARE_RECIPE_SET_INVALID' });
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

describe('sparsegpt-2-4-gptq-w4', () => {
  const request = { recipe: 'sparsegpt-2-4-gptq-w4', set: ['gptq.groupSize=32'], calibration, formats: ['hf', 'onnx'], backend: 'reference' };

  it('keeps two zeros in every four weights through both stages and both formats, and says what that is worth', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const planned = await host.plan({ ...request, model: folder.model });
    expect(planned.stages.map(({ modules }) => modules[0])).toMatchObject([
      { produces: 'sparse', storedBits: 64 * 64 * (16 + 1) },
      { produces: 'sparse', bits: 4, storedBits: 64 * 64 * 3 + 64 * 2 * 32, writtenBits: 64 * 64 * 4 + 64 * 2 * 32 },
    ]);
    expect(planned.formats.map(({ notes }) => notes)).toEqual([[expect.stringMatching(/14 sparse matrices .* with their zeros/)], [expect.stringMatching(/ONNX with their zeros/)]]);
    const output = folder.join('out');
    const { manifest } = await host.compress({ ...request, model: folder.model, output });
    expect(manifest.formats.map(({ notes }) => notes)).toEqual(planned.formats.map(({ notes }) => notes));
    expect(manifest.stages[1]!.modules[0]).toMatchObject({ bits: 4, pattern: '2:4', sparsity: 0.5 });
    expect(host.recorded.filter((recorded) => recorded.event === 'warning' && recorded.data.code === 'PARE_FORMAT_NOTE')).toHaveLength(2);
    await using model = await host.openModel(output);
    for (const { name } of model.modules.filter(({ kind }) => kind === 'linear')) {
      const { data } = await model.denseWeight(name);
      for (let start = 0; start < data.length; start += 4) expect(data.subarray(start, start + 4).filter((value) => value === 0).length).toBeGreaterThanOrEqual(2);
    }
  });

  it('stopped between its stages and resumed ends with the bytes of a run without a stop', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    await host.compress({ ...request, model: folder.model, output: folder.join('whole') });
    const controller = new AbortController();
    const stop = ({ stage, block }: { stage: number; block: number }): void => {
      if (stage === 1 && block === 0) controller.abort();
    };
    host.events.on('block:done', stop);
    await expect(host.compress({ ...request, model: folder.model, output: folder.join('resumed'), signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    host.events.off('block:done', stop);
    const resumed = await host.compress({ ...request, model: folder.model, output: folder.join('resumed'), resume: true });
    expect(resumed.restoredBlocks).toBe(3);
    expect(await folderHashes(folder.join('resumed'))).toEqual(await folderHashes(folder.join('whole')));
  });
});

describe('pruning in a Hugging Face folder', () => {
  it('global magnitude stopped after a block prunes the same weights when it is resumed', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const request = { model: folder.model, recipe: 'magnitude-50', set: ['magnitude.ranking=global', 'magnitude.sparsity=0.6'], formats: ['hf'], backend: 'reference' };
    await host.compress({ ...request, output: folder.join('whole') });
    const controller = new AbortController();
    const stop = (): void => controller.abort();
    host.events.on('block:done', stop);
    await expect(host.compress({ ...request, output: folder.join('resumed'), signal: controller.signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    host.events.off('block:done', stop);
    expect((await host.compress({ ...request, output: folder.join('resumed'), resume: true })).restoredBlocks).toBe(1);
    expect(await folderHashes(folder.join('resumed'))).toEqual(await folderHashes(folder.join('whole')));
    await using model = await host.openModel(folder.join('whole'));
    let [zeros, all] = [0, 0];
    for (const { name } of model.modules.filter(({ kind }) => kind === 'linear')) {
      const { data } = await model.denseWeight(name);
      zeros += data.filter((value) => value === 0).length;
      all += data.length;
    }
    expect(zeros).toBe(Math.round(0.6 * all));
  });

  it('prunes some layers, others more, and leaves the rest alone', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins });
    const stages = [
      {
        technique: 'sparsegpt',
        options: { sparsity: 0.25 },
        targets: { include: ['layers.1.*'] },
        overrides: [{ match: 'layers.1.mlp.*', options: { sparsity: 0.75 } }],
      },
    ];
    await host.compress({ model: folder.model, recipe: { version: 1, stages }, calibration, output: folder.join('out'), formats: ['hf'], backend: 'reference' });
    await using model = await host.openModel(folder.join('out'));
    const zeros = async (name: string): Promise<number> => {
      const { data } = await model.denseWeight(`model.layers.${name}`);
      return data.filter((value) => value === 0).length / data.length;
    };
    expect([await zeros('0.mlp.up_proj'), await zeros('1.self_attn.q_proj'), await zeros('1.mlp.up_proj')]).toEqual([0, 0.25, 0.75]);
  });
});
