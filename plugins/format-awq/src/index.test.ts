import type { Model, ModulePlan, QuantizedWeight } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { fixtures, folderBench, type FixtureName, type FolderBench, type WrittenFolder } from '@pare/testkit';
import { quantizeMatrix, type QuantizerOptions, type ScaleType } from '@pare/weights';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import awq, { awqFormat, type AwqFormatOptions } from './index.js';
import { awqFormatOptions } from './options.js';

let bench: FolderBench;
beforeAll(async () => {
  bench = await folderBench();
});
afterEach(() => bench.close());
afterAll(() => bench[Symbol.asyncDispose]());

const w4: QuantizerOptions = { bits: 4, symmetric: false, groupSize: 32 };
const q = 'model.layers.0.self_attn.q_proj';
const write = (model: Model, options: Partial<AwqFormatOptions> = {}): Promise<WrittenFolder> => bench.write(awqFormat, model, options);

async function withForm(change: Partial<QuantizedWeight>, options = w4): Promise<Model> {
  const base = await bench.open(fixtures.model('llama'));
  const { shape } = base.modules.find((info) => info.name === q)!;
  return bench.overlaid('llama', { [q]: { ...quantizeMatrix((await base.denseWeight(q)).data, shape, options, 'float16'), ...change } });
}

describe('the plugin', () => {
  it('says what it is', () => {
    expect(awq).toBe(awqFormat);
    expect(awqFormat).toMatchObject({ $$type: '@pare/format', id: 'awq', api: 1 });
    expect(awqFormatOptions.parse({})).toEqual({ scales: 'float16', multiplyOut: false, maximumShardBytes: 5e9 });
  });
});

describe('writing', () => {
  const cases: [string, QuantizerOptions, ScaleType, FixtureName?][] = [
    ['asymmetric groups', w4, 'float16'],
    ['symmetric groups', { ...w4, symmetric: true }, 'float16'],
    ['one group a row', { bits: 4, symmetric: false }, 'bfloat16'],
    ['fused layers', w4, 'float16', 'phi3'],
    ['experts', w4, 'float32', 'qwen3_moe'],
    ['biases', w4, 'float16', 'qwen2'],
  ];
  it.each(cases)('%s: what is written opens as what was held', async (_, options, scaleType, name = 'llama') => {
    const model = await bench.rounded(name, () => options, scaleType);
    const written = await write(model, { scales: 'held' });
    expect((await written.verify()).largestDifference).toBe(0);
    const reopened = await bench.open(written.directory);
    for (const info of model.modules) if (info.form === 'quantized') expect(await reopened.weight(info.name), info.name).toEqual(await model.weight(info.name));
    const dense = model.modules.filter(({ form, kind }) => form !== 'quantized' && kind !== 'embedding').map((info) => info.name);
    expect(written.config['quantization_config']).toEqual({
      quant_method: 'awq',
      bits: 4,
      group_size: options.groupSize ?? -1,
      zero_point: true,
      version: 'gemm',
      modules_to_not_convert: dense,
    });
  });

  it('has the outputs of a word in the order 0 2 4 6 1 3 5 7, and zero points as they are', async () => {
    const codes = Uint8Array.from({ length: 64 * 64 }, (_, index) => Math.floor(index / 64) % 16);
    const written = await write(await withForm({ codes, zeros: codes.filter((_, index) => index % 32 === 0) }));
    await using file = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    for (const part of ['qweight', 'qzeros']) {
      const { shape, data } = await file.read(`${q}.${part}`);
      expect(shape).toEqual([part === 'qweight' ? 64 : 2, 8]);
      expect(Array.from(data.subarray(0, 3) as Int32Array, (word) => (word >>> 0).toString(16))).toEqual(['75316420', 'fdb9eca8', '75316420']);
    }
    await written.verify();
  });

  it('rounds finer scales to float16', async () => {
    const written = await write(await bench.rounded('llama', () => w4, 'float32'));
    const { largestDifference } = await written.verify();
    expect(largestDifference).toBeGreaterThan(0);
    expect(largestDifference).toBeLessThan(1e-3);
  });

  it('refuses forms that the layout has no place for, also without being asked before', async () => {
    for (const model of [await withForm({}, { ...w4, bits: 8 }), await withForm({ groupIndex: new Int32Array(64) })]) {
      await expect(write(model)).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED' });
    }
    const mixed = await bench.rounded('llama', (name) => (name === q ? { ...w4, groupSize: 16 } : w4), 'float16');
    await expect(write(mixed)).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED', message: expect.stringContaining('several group sizes') as string });
  });
});

describe('before anything runs', () => {
  const plan = (module: string, changes: Partial<ModulePlan> = {}): [string, ModulePlan] => [
    module,
    { module, produces: 'quantized', storedBits: 1, bits: 4, groupSize: 32, symmetric: false, flops: 0, workingBytes: 0, ...changes },
  ];
  const ask = async (name: FixtureName, plans: [string, ModulePlan][]) => {
    const model = await bench.open(fixtures.model(name));
    const options = awqFormatOptions.parse({});
    return { refusals: awqFormat.refuse(model, new Map(plans), options), notes: awqFormat.notes?.(model, new Map(plans), options) ?? [] };
  };
  const k = 'model.layers.0.self_attn.k_proj';
  const cases: [string, FixtureName, [string, ModulePlan][], RegExp][] = [
    ['8 bits', 'llama', [plan(q, { bits: 8 })], /8 bits.*GEMM layout 4/],
    ['Conv1D', 'gpt2', [plan('transformer.h.0.attn.c_attn')], /Conv1D/],
    ['8-bit floats', 'llama', [plan(q, { bits: 8, numbers: 'float8-e4m3' })], /8-bit floats/],
    ['an embedding', 'llama', [plan('model.embed_tokens')], /embedding/],
    ['a group index', 'llama', [plan(q, { groupIndex: true })], /group index/],
    ['a group size that does not divide', 'llama', [plan(q, { groupSize: 48 })], /do not divide/],
    ['two group sizes', 'llama', [plan(k), plan('model.layers.1.self_attn.k_proj'), plan(q, { groupSize: 16 })], /group size 16 is not that of the others \(32\)/],
  ];
  it.each(cases)('refuses %s, with the reason and what helps', async (_, name, plans, reason) => {
    const { refusals } = await ask(name, plans);
    expect(refusals[0]).toMatchObject({ module: plans.at(-1)![0], reason: expect.stringMatching(reason) as string });
    expect(refusals[0]!.help.length).toBeGreaterThan(20);
  });

  it('refuses a layer whose name holds that of a dense one', async () => {
    const model = await bench.open(fixtures.model('llama'));
    const modules = model.modules.map((info) => (info.name === k ? { ...info, name: q.slice(0, -1) } : info));
    const [refusal] = awqFormat.refuse({ ...model, modules }, new Map([plan(q)]), awqFormatOptions.parse({}));
    expect(refusal).toMatchObject({ module: q, reason: expect.stringMatching(/stays dense/) as string });
  });

  it('takes what readers take, and says what only some open', async () => {
    const { refusals, notes } = await ask('llama', [plan(q), plan('model.layers.0.mlp.down_proj', { groupSize: -1 })].slice(0, 1));
    expect([refusals, notes]).toEqual([[], []]);
    expect((await ask('llama', [plan(q, { symmetric: true, groupSize: 8 }), plan('lm_head', { groupSize: 8 })])).notes.join('\n')).toMatch(/groups of 8[\s\S]*zero point of 8[\s\S]*head is quantized/);
  });
});

describe('reading back', () => {
  it.each([
    ['qweight', /qweight" holds code \d+ for \d+ at \[0, 0\]/],
    ['scales', /scales" holds/],
    ['qzeros', /qzeros" holds \d+ for \d+ at \[0, 0\]/],
  ])('notices a change to %s', async (part, message) => {
    const written = await write(await withForm({}));
    await written.verify();
    await written.corrupt(`${q}.${part}`);
    await expect(written.verify()).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', message: expect.stringMatching(message) as string });
  });

  it('notices a configuration that says something else', async () => {
    for (const [change, message] of [
      [{ group_size: 16 }, /has shape/],
      [{ modules_to_not_convert: ['q_proj'] }, /not covered/],
    ] as const) {
      const written = await write(await withForm({}));
      const config = { ...written.config, quantization_config: { ...(written.config['quantization_config'] as object), ...change } };
      await writeFile(join(written.directory, 'config.json'), JSON.stringify(config));
      await expect(written.verify()).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', message: expect.stringMatching(message) as string });
    }
  });
});

describe("AutoAWQ's folder", () => {
  it('opens with the weights that were packed, and is written again byte for byte', async () => {
    const directory = join(import.meta.dirname, '../fixtures/autoawq-llama');
    const { sha256 } = JSON.parse(await readFile(join(directory, 'expected.json'), 'utf8')) as { sha256: Record<string, string> };
    const model = await bench.open(directory);
    const linear = model.modules.filter(({ kind }) => kind === 'linear');
    expect(linear.map(({ name }) => name).sort()).toEqual(Object.keys(sha256).sort());
    for (const { name } of linear) {
      const { data } = await model.denseWeight(name);
      expect(createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest('hex'), name).toBe(sha256[name]);
    }
    const written = await write(model);
    await written.verify();
    await using theirs = await SafetensorsFile.open(join(directory, 'model.safetensors'));
    await using ours = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    expect([...ours.names].sort()).toEqual([...theirs.names].sort());
    for (const name of theirs.names) expect(await ours.read(name), name).toEqual(await theirs.read(name));
  });
});
