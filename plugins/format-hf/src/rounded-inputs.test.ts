import { type hostTensor, isPareError, type FormatContext, type InputQuantization, type Model, type ModulePlan, type QuantizedWeight, type WeightForm } from '@pare/core';
import { openModel, overlayModel, SafetensorsFile, writeSafetensors, tensorEntry } from '@pare/model';
import { architectures, openFixture, temporaryDirectory, type TemporaryDirectory } from '@pare/testkit';
import { inputSchemeOf, quantizeMatrix, type QuantizerOptions, type ScaleType } from '@pare/weights';
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { huggingFaceFormat } from './index.js';
import { huggingFaceOptions, type HuggingFaceOptions } from './options.js';

const token: InputQuantization = { bits: 8, symmetric: true, granularity: 'token', dynamic: true };
const still: InputQuantization = { bits: 8, symmetric: true, granularity: 'tensor', dynamic: false, scale: 0.03125 };
const shifted: InputQuantization = { ...still, symmetric: false, zero: -20 };
const channel: QuantizerOptions = { bits: 8, symmetric: true };

let folder: TemporaryDirectory;
beforeEach(async () => {
  folder = await temporaryDirectory();
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

async function rounded(base: Model, options: QuantizerOptions, input: InputQuantization | undefined, scaleType: ScaleType = 'float32', select = /./): Promise<Model> {
  const forms = new Map<string, QuantizedWeight>();
  for (const { name, kind, shape } of base.modules) {
    if (kind !== 'linear' || !select.test(name)) continue;
    const form = quantizeMatrix((await base.denseWeight(name)).data, shape, options, scaleType);
    forms.set(name, input === undefined ? form : { ...form, input });
  }
  const summary = (form: QuantizedWeight) => ({ produces: 'quantized' as const, storedBits: 8, input: inputSchemeOf(form) });
  return overlayModel(base, new Map([...forms].map(([name, form]) => [name, (): Promise<WeightForm> => Promise.resolve(form)])), new Map([...forms].map(([name, form]) => [name, summary(form)])));
}

function contextOf(model: Model, options: Partial<HuggingFaceOptions> = {}): FormatContext<HuggingFaceOptions> {
  return {
    model,
    options: { ...huggingFaceOptions.parse({}), ...options },
    directory: folder.path,
    files: model.files,
    log: console,
    signal: new AbortController().signal,
    seed: 0,
    progress: { report: () => undefined },
    backend: undefined as never,
    services: {},
  };
}

async function quantizationConfig(): Promise<{ format: string; config_groups: Record<string, Record<string, unknown>> }> {
  const config = JSON.parse(await readFile(folder.join('config.json'), 'utf8')) as Record<string, unknown>;
  return config['quantization_config'] as never;
}

const code = (error: unknown): string => (isPareError(error) ? error.code : String(error));

describe('layers that round their inputs', () => {
  it.each<[string, QuantizerOptions, InputQuantization, ScaleType]>([
    ['per token', channel, token, 'float32'],
    ['per token, bfloat16 scales', channel, token, 'bfloat16'],
    ['zero points', { bits: 8, symmetric: false }, token, 'float16'],
    ['one grid a matrix', { bits: 8, symmetric: false, granularity: 'tensor' }, still, 'float32'],
    ['static', channel, still, 'float16'],
    ['static with a zero point', channel, shifted, 'bfloat16'],
  ])('are written as int-quantized and opened again: %s', async (_, options, input, scaleType) => {
    await using base = await openFixture('llama');
    const model = await rounded(base, options, input, scaleType);
    const context = contextOf(model);
    const files = await huggingFaceFormat.write(context);
    await expect(huggingFaceFormat.verify(context, files)).resolves.toMatchObject({ largestDifference: 0 });
    const { format, config_groups: groups } = await quantizationConfig();
    expect(format).toBe('int-quantized');
    expect(Object.keys(groups)).toEqual(['group_0']);
    expect(groups['group_0']).toMatchObject({
      format: 'int-quantized',
      input_activations: { num_bits: 8, type: 'int', symmetric: input.symmetric, strategy: input.granularity, dynamic: input.dynamic },
    });
    await using again = await openModel(folder.path, { architectures });
    for (const info of model.modules) {
      expect(again.modules.find(({ name }) => name === info.name)).toMatchObject({ form: info.form });
      if (info.form === 'quantized') expect(await again.weight(info.name)).toEqual(await model.weight(info.name));
      expect(again.modules.find(({ name }) => name === info.name)!.input).toEqual(info.input);
    }
    await using file = await SafetensorsFile.open(folder.join('model.safetensors'));
    const name = 'model.layers.0.mlp.down_proj';
    expect(file.info(`${name}.weight`)).toMatchObject({ dtype: 'int8', shape: [64, 128] });
    expect(file.info(`${name}.weight_scale`)).toMatchObject({ dtype: scaleType, shape: options.granularity === 'tensor' ? [1] : [64, 1] });
    expect(file.names.includes(`${name}.input_scale`)).toBe(!input.dynamic);
    expect(file.names.includes(`${name}.input_zero_point`)).toBe(!input.symmetric);
  });

  it('stand beside packed ones in a folder of mixed precision', async () => {
    await using base = await openFixture('llama');
    const mixed = await rounded(await rounded(base, { bits: 4, symmetric: true, groupSize: 32 }, undefined, 'float32', /mlp/), channel, token, 'float32', /self_attn/);
    const context = contextOf(mixed);
    const files = await huggingFaceFormat.write(context);
    await huggingFaceFormat.verify(context, files);
    const { format, config_groups: groups } = await quantizationConfig();
    expect(format).toBe('mixed-precision');
    expect(Object.values(groups).map((group) => [group['format'], group['input_activations'] === null])).toEqual([
      ['int-quantized', false],
      ['pack-quantized', true],
    ]);
    await using again = await openModel(folder.path, { architectures });
    for (const { name, form } of mixed.modules) if (form === 'quantized') expect(await again.weight(name)).toEqual(await mixed.weight(name));
  });

  it('are found out when a file says something else', async () => {
    await using base = await openFixture('llama');
    const context = contextOf(await rounded(base, channel, still));
    const files = await huggingFaceFormat.write(context);
    const file = folder.join('model.safetensors');
    const spoil = async (tensor: string, change: (data: Int8Array | Float32Array) => void): Promise<void> => {
      await huggingFaceFormat.write(context);
      const tensors = new Map<string, ReturnType<typeof hostTensor>>();
      {
        await using source = await SafetensorsFile.open(file);
        for (const name of source.names) tensors.set(name, await source.read(name));
      }
      change(tensors.get(tensor)!.data as Int8Array);
      await writeSafetensors(file, [...tensors].map(([name, value]) => tensorEntry(name, value)));
    };
    for (const part of ['weight', 'weight_scale', 'input_scale']) {
      const tensor = `model.layers.1.mlp.up_proj.${part}`;
      await spoil(tensor, (data) => (data[0] = data[0]! + 1));
      const error: unknown = await huggingFaceFormat.verify(context, files).then(() => undefined, (thrown: unknown) => thrown);
      expect(code(error)).toBe('PARE_VERIFICATION_FAILED');
      expect((error as Error).message).toContain(tensor);
    }
    await spoil('model.layers.1.mlp.up_proj.input_scale', (data) => (data[0] = -1));
    await using model = await openModel(folder.path, { architectures });
    expect(code(await model.weight('model.layers.1.mlp.up_proj').catch((error: unknown) => error))).toBe('PARE_MODEL_TENSOR_SHAPE');
  });

  it('are refused where runtimes multiply no integers', async () => {
    await using base = await openFixture('qwen3_moe');
    const experts = base.modules.filter(({ expert }) => expert !== undefined);
    const plan = (module: string, changes: Partial<ModulePlan>): ModulePlan => ({ module, produces: 'quantized', storedBits: 8, flops: 0, workingBytes: 0, bits: 8, groupSize: -1, symmetric: true, input: token, ...changes });
    const refuse = (modules: readonly { name: string }[], changes: Partial<ModulePlan>, options: Partial<HuggingFaceOptions> = {}) =>
      huggingFaceFormat.refuse(base, new Map(modules.map(({ name }) => [name, plan(name, changes)])), { ...huggingFaceOptions.parse({}), ...options });
    const attention = base.modules.filter(({ role }) => role === 'attention.query');
    expect(refuse(attention, {})).toEqual([]);
    expect(refuse(attention, { bits: 4 })[0]!.reason).toMatch(/weights to 4; runtimes of int-quantized multiply 8-bit integers/);
    expect(refuse(attention, { groupSize: 32 })[0]!.reason).toMatch(/32 of its weights share a scale/);
    expect(refuse(experts, {})).toEqual([]);
    expect(refuse(experts, { input: { ...token, granularity: 'tensor', dynamic: false } })[0]!.reason).toMatch(/this one has a static scale/);
    expect(refuse(attention, { bits: 4 }, { dequantize: true })).toEqual([]);
    const notes = huggingFaceFormat.notes!(base, new Map(attention.map(({ name }) => [name, plan(name, {})])), { ...huggingFaceOptions.parse({}), dequantize: true });
    expect(notes.join(' ')).toMatch(/no longer round their inputs/);
    await using llama = await openFixture('llama');
    const groups = await rounded(llama, { bits: 8, symmetric: true, groupSize: 32 }, token);
    expect(code(await Promise.resolve(huggingFaceFormat.write(contextOf(groups))).catch((error: unknown) => error))).toBe('PARE_FORM_UNSUPPORTED');
  });
});
