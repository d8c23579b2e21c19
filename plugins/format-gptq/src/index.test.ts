import type { Model, ModulePlan, QuantizedWeight, WeightForm } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { fixtures, folderBench, type FixtureName, type FolderBench, type WrittenFolder } from '@pare/testkit';
import { dequantize, quantizeMatrix, sparseWeight, type QuantizerOptions, type ScaleType } from '@pare/weights';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import gptq, { gptqFormat, type GptqFormatOptions } from './index.js';
import { gptqFormatOptions } from './options.js';
import { producer } from './quantization-config.js';
import { layoutProblem } from './refuse.js';

let bench: FolderBench;
beforeAll(async () => {
  bench = await folderBench();
});
afterEach(() => bench.close());
afterAll(() => bench[Symbol.asyncDispose]());

const w4: QuantizerOptions = { bits: 4, symmetric: true, groupSize: 32 };
const q = 'model.layers.0.self_attn.q_proj';
const write = (model: Model, options: Partial<GptqFormatOptions> = {}): Promise<WrittenFolder> => bench.write(gptqFormat, model, options);
const quantizationOf = ({ config }: WrittenFolder): Record<string, unknown> => config['quantization_config'] as Record<string, unknown>;

/** A fixture whose only quantized matrix is one, rounded to nearest and then changed. */
async function withForm(change: Partial<QuantizedWeight>, options = w4, name: FixtureName = 'llama', module = q): Promise<Model> {
  const base = await bench.open(fixtures.model(name));
  const { shape } = base.modules.find((info) => info.name === module)!;
  return bench.overlaid(name, { [module]: { ...quantizeMatrix((await base.denseWeight(module)).data, shape, options, 'float16'), ...change } });
}

async function words(directory: string, tensor: string): Promise<number[]> {
  await using file = await SafetensorsFile.open(join(directory, 'model.safetensors'));
  return Array.from((await file.read(tensor)).data as Int32Array, (word) => word >>> 0);
}

describe('the plugin', () => {
  it('says what it is and who writes', () => {
    expect(gptq).toBe(gptqFormat);
    expect(gptqFormat).toMatchObject({ $$type: '@pare/format', id: 'gptq', api: 1 });
    expect(gptqFormatOptions.parse({})).toEqual({ version: 'auto', scales: 'float16', multiplyOut: false, maximumShardBytes: 5e9 });
    expect(gptqFormatOptions.safeParse({ version: 3 }).success).toBe(false);
    const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
    expect(producer).toBe(`pare:${version}`);
  });
});

describe('writing', () => {
  const cases: [string, QuantizerOptions, ScaleType, FixtureName?][] = [
    ['4 bits in groups', w4, 'float16'],
    ['4 bits in asymmetric groups', { ...w4, symmetric: false }, 'float16'],
    ['8 bits per channel', { bits: 8, symmetric: true }, 'float16'],
    ['8 bits per asymmetric channel, bfloat16 scales', { bits: 8, symmetric: false }, 'bfloat16'],
    ['3 bits, float32 scales', { bits: 3, symmetric: true, groupSize: 32 }, 'float32'],
    ['3 bits in asymmetric groups', { bits: 3, symmetric: false, groupSize: 16 }, 'float16'],
    ['2 bits', { bits: 2, symmetric: false, groupSize: 16 }, 'float16'],
    ['fused layers', w4, 'float16', 'phi3'],
    ['experts', w4, 'float16', 'qwen3_moe'],
    ['Conv1D', { ...w4, symmetric: false }, 'float16', 'gpt2'],
    ['biases', w4, 'float16', 'qwen2'],
  ];
  it.each(cases)('%s: what is written opens as what was held', async (_, options, scaleType, name = 'llama') => {
    const model = await bench.rounded(name, () => options, scaleType);
    const written = await write(model, { scales: 'held' });
    expect((await written.verify()).largestDifference).toBe(0);
    const reopened = await bench.open(written.directory);
    expect(reopened.modules.map(({ name: module, form, dtype }) => [module, form, dtype])).toEqual(model.modules.map(({ name: module, form, dtype }) => [module, form, dtype]));
    for (const info of model.modules) if (info.form === 'quantized') expect(await reopened.weight(info.name), info.name).toEqual(await model.weight(info.name));
    expect(quantizationOf(written)['checkpoint_format']).toBe(options.symmetric ? 'gptq' : 'gptq_v2');
    expect(JSON.parse(await readFile(join(written.directory, 'quantize_config.json'), 'utf8'))).toEqual(quantizationOf(written));
  });

  it('stores symmetric zero points less one in version 1, as they are in version 2', async () => {
    for (const [bits, one, two] of [
      [2, 0x55555555, 0xaaaaaaaa],
      [4, 0x77777777, 0x88888888],
      [8, 0x7f7f7f7f, 0x80808080],
    ] as const) {
      for (const [version, word] of [
        [1, one],
        [2, two],
      ] as const) {
        const written = await write(await withForm({}, { ...w4, bits }), { version });
        expect(new Set(await words(written.directory, `${q}.qzeros`))).toEqual(new Set([word]));
        await written.verify();
        expect(await (await bench.open(written.directory)).weight(q)).toMatchObject({ zeros: undefined, scheme: { bits, symmetric: true } });
      }
    }
  });

  it('keeps the group of every column that activation order moved', async () => {
    const groupIndex = Int32Array.from({ length: 64 }, (_, column) => (column * 7) % 2);
    const model = await withForm({ groupIndex });
    const written = await write(model);
    await written.verify();
    expect(quantizationOf(written)).toMatchObject({ desc_act: true });
    expect(await (await bench.open(written.directory)).weight(q)).toEqual(await model.weight(q));
  });

  it('spells one grid out for every output', async () => {
    const model = await withForm({}, { bits: 8, symmetric: false, granularity: 'tensor' });
    const written = await write(model);
    await written.verify();
    const reopened = await (await bench.open(written.directory)).weight(q);
    expect(reopened).toMatchObject({ scheme: { granularity: 'channel' } });
    expect(dequantize(reopened as QuantizedWeight)).toEqual(dequantize((await model.weight(q)) as QuantizedWeight));
  });

  it('rounds finer scales to float16 and says by how much values differ', async () => {
    const model = await bench.rounded('llama', () => w4, 'float32');
    const written = await write(model);
    const { largestDifference } = await written.verify();
    expect(largestDifference).toBeGreaterThan(0);
    expect(largestDifference).toBeLessThan(1e-3);
    const [held, stored] = [(await model.denseWeight(q)).data, (await (await bench.open(written.directory)).denseWeight(q)).data];
    const difference = held.reduce((most, value, index) => Math.max(most, Math.abs(value - stored[index]!)), 0);
    expect(difference).toBeLessThanOrEqual(largestDifference);
    await expect(write(await withForm({ scales: new Float32Array(128).fill(1e-9), scaleType: 'float32' }))).rejects.toMatchObject({ code: 'PARE_SCALE_OVERFLOW' });
  });

  it('declares what stays dense and what has another scheme', async () => {
    const model = await bench.rounded('llama', (name) => (name.includes('k_proj') || name.includes('0.mlp.down_proj') ? undefined : name.endsWith('1.mlp.down_proj') ? { bits: 8, symmetric: true } : w4), 'float16');
    const written = await write(model);
    await written.verify();
    expect(quantizationOf(written)).toMatchObject({
      bits: 4,
      group_size: 32,
      sym: true,
      desc_act: false,
      lm_head: false,
      dynamic: {
        '-:^model\\.layers\\.0\\.self_attn\\.k_proj$': {},
        '-:^model\\.layers\\.0\\.mlp\\.down_proj$': {},
        '-:^model\\.layers\\.1\\.self_attn\\.k_proj$': {},
        '+:^model\\.layers\\.1\\.mlp\\.down_proj$': { bits: 8, group_size: -1 },
      },
    });
    expect(quantizationOf(written)).not.toHaveProperty('modules_in_block_to_quantize');
    const reopened = await bench.open(written.directory);
    for (const { name } of model.modules) expect(await reopened.weight(name), name).toEqual(await model.weight(name));
  });

  it('names the layers of every block for transformers, and joined ones for vLLM', async () => {
    const written = await write(await bench.rounded('llama', (name) => (name.includes('mlp') ? w4 : undefined), 'float16'));
    const { modules_in_block_to_quantize: names, dynamic } = quantizationOf(written);
    expect(names).toEqual([['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']]);
    expect(Object.keys(dynamic as object)).toContain('-:^(model\\.layers\\.1\\.self_attn\\.v_proj|model\\.layers\\.1\\.self_attn\\.qkv_proj)$');
  });

  it('writes sparse codes with their zeros, and leaves out what is said of a dense model', async () => {
    const base = await withForm({});
    const form = (await base.weight(q)) as QuantizedWeight;
    const mask = Uint8Array.from(form.codes, (_, index) => (index % 4 < 2 ? 0 : 1));
    const sparse: WeightForm = sparseWeight(form, { kind: 'grouped', zeros: 2, group: 4 }, mask);
    const written = await write(await bench.overlaid('llama', { [q]: sparse }));
    await written.verify();
    const { data } = await (await bench.open(written.directory)).denseWeight(q);
    expect(data.every((value, index) => mask[index] === 1 || value === 0)).toBe(true);
    const dense = await write(await bench.open(fixtures.model('llama')));
    await dense.verify();
    expect(dense.config).not.toHaveProperty('quantization_config');
    expect(dense.files.map(({ path }) => path)).not.toContain('quantize_config.json');
  });

  it('refuses forms that the layout has no place for, also without being asked before', async () => {
    const zeros = new Uint8Array(128).fill(3);
    zeros[5] = 0;
    const scheme = { bits: 4, symmetric: false, granularity: 'group', groupSize: 32 } as const;
    await expect(write(await withForm({ zeros, scheme }), { version: 1 })).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED', message: expect.stringContaining('zero point of 0') as string });
    await expect(write(await withForm({}, { ...w4, bits: 5 }))).rejects.toMatchObject({ code: 'PARE_FORM_UNSUPPORTED' });
  });
});

describe('before anything runs', () => {
  const plan = (module: string, changes: Partial<ModulePlan> = {}): [string, ModulePlan] => [
    module,
    { module, produces: 'quantized', storedBits: 1, bits: 4, groupSize: 32, symmetric: true, flops: 0, workingBytes: 0, ...changes },
  ];
  const ask = async (name: FixtureName, plans: [string, ModulePlan][], options: Partial<GptqFormatOptions> = {}) => {
    const model = await bench.open(fixtures.model(name));
    const parsed = gptqFormatOptions.parse(options);
    return { refusals: gptqFormat.refuse(model, new Map(plans), parsed), notes: gptqFormat.notes?.(model, new Map(plans), parsed) ?? [] };
  };
  const cases: [string, FixtureName, [string, ModulePlan], RegExp, Partial<GptqFormatOptions>?][] = [
    ['5 bits', 'llama', plan(q, { bits: 5 }), /5 bits.*2, 3, 4, 8/],
    ['8-bit floats', 'llama', plan(q, { bits: 8, numbers: 'float8-e4m3' }), /8-bit floats/],
    ['an embedding', 'llama', plan('model.embed_tokens'), /embedding/],
    ['a router', 'qwen3_moe', plan('model.layers.0.mlp.gate'), /routers/],
    ['a group size that does not divide', 'llama', plan(q, { groupSize: 48 }), /do not divide into groups of 48/],
    ['asymmetric grids in version 1', 'llama', plan(q, { symmetric: false }), /zero point of 0/, { version: 1 }],
    ['factors', 'llama', plan(q, { produces: 'factorized', bits: undefined }), /factorized/],
  ];
  it.each(cases)('refuses %s, with the reason and what helps', async (_, name, planned, reason, options) => {
    const { refusals } = await ask(name, [planned], options);
    expect(refusals[0]).toMatchObject({ module: planned[0], reason: expect.stringMatching(reason) as string });
    expect(refusals[0]!.help.length).toBeGreaterThan(20);
  });

  it('refuses what fills no whole words', async () => {
    const info = (await bench.open(fixtures.model('llama'))).modules.find(({ name }) => name === q)!;
    expect(layoutProblem({ ...info, shape: [40, 64] }, { bits: 3 })?.reason).toMatch(/40 outputs do not fill whole words \(32 of 3 bits\)/);
    expect(layoutProblem({ ...info, shape: [64, 36] }, { bits: 4 })?.reason).toMatch(/36 inputs do not fill whole words \(8 of 4 bits\)/);
  });

  it('takes what readers take', async () => {
    for (const changes of [{ bits: 2 }, { bits: 3 }, { bits: 8, groupSize: -1 }, { symmetric: false }, { groupIndex: true }]) {
      expect((await ask('llama', [plan(q, changes)])).refusals).toEqual([]);
    }
    expect((await ask('gpt2', [plan('transformer.h.0.attn.c_attn')])).refusals).toEqual([]);
  });

  it('says what only some readers open', async () => {
    const model = await bench.open(fixtures.model('llama'));
    const linear = model.modules.filter(({ kind }) => kind === 'linear').map(({ name }) => name);
    const all = linear.map((name) => plan(name));
    expect((await ask('llama', all)).notes).toEqual([]);
    const text = async (...plans: [string, ModulePlan][]): Promise<string> => (await ask('llama', plans)).notes.join('\n');
    expect(await text(...all, plan(q, { bits: 8 }))).toMatch(/1 of 14 matrices.*"dynamic"[\s\S]*vLLM joins layers into model\.layers\.0\.self_attn\.qkv_proj/);
    expect(await text(...linear.map((name) => plan(name, { groupSize: 8 })))).toMatch(/groups of 8 inputs/);
    expect(await text(...all, plan('lm_head'))).toMatch(/head is quantized/);
    expect(await text(...all.slice(1))).toMatch(/other layers are quantized from block to block/);
    expect((await ask('gpt2', [plan('transformer.h.0.attn.c_attn')])).notes.join('\n')).toMatch(/Conv1D/);
  });
});

describe('reading back', () => {
  const cases: [string, string, RegExp, QuantizerOptions?][] = [
    ['a code', 'qweight', /qweight" holds code \d+ for \d+ at \[0, 0\]/],
    ['a scale', 'scales', /scales" holds/],
    ['a zero point', 'qzeros', /qzeros" holds \d+ for \d+ at \[0, 0\]/, { ...w4, symmetric: false }],
    ['a group', 'g_idx', /g_idx" holds group 1 for 0 at \[0\]/],
  ];
  it.each(cases)('notices a change to %s', async (_, part, message, options = w4) => {
    const written = await write(await withForm({}, options));
    await written.verify();
    await written.corrupt(`${q}.${part}`);
    await expect(written.verify()).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', message: expect.stringMatching(message) as string });
  });

  it('notices a configuration that says something else', async () => {
    for (const [change, message] of [
      [{ bits: 8 }, /has shape/],
      [{ group_size: 16 }, /has shape/],
      [{ checkpoint_format: 'gptq_v2' }, /not symmetric/],
      [{ dynamic: { '-:.*': {} } }, /not covered/],
    ] as const) {
      const written = await write(await withForm({}));
      await writeFile(join(written.directory, 'config.json'), JSON.stringify({ ...written.config, quantization_config: { ...quantizationOf(written), ...change } }));
      await expect(written.verify()).rejects.toMatchObject({ code: 'PARE_VERIFICATION_FAILED', message: expect.stringMatching(message) as string });
    }
  });
});

describe("GPTQModel's folders", () => {
  it.each(['v1-w4-asymmetric', 'v1-w3-act-order', 'v2-w8-channel'])('%s opens with the weights that were packed, and is written again word by word', async (name) => {
    const directory = join(import.meta.dirname, `../fixtures/gptqmodel-${name}`);
    const { sha256 } = JSON.parse(await readFile(join(directory, 'expected.json'), 'utf8')) as { sha256: Record<string, string> };
    const model = await bench.open(directory);
    const linear = model.modules.filter(({ kind }) => kind === 'linear');
    expect(linear.map((info) => info.name).sort()).toEqual(Object.keys(sha256).sort());
    for (const { name: module } of linear) {
      const { data } = await model.denseWeight(module);
      expect(createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest('hex'), module).toBe(sha256[module]);
    }
    const written = await write(model);
    await written.verify();
    await using theirs = await SafetensorsFile.open(join(directory, 'model.safetensors'));
    await using ours = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    expect([...ours.names].sort()).toEqual([...theirs.names].sort());
    // Asymmetric grids are written in version 2, where zero points stand as they are.
    const rewritten = name === 'v1-w4-asymmetric' ? 'qzeros' : '';
    for (const tensor of theirs.names) if (rewritten === '' || !tensor.endsWith(rewritten)) expect(await ours.read(tensor), tensor).toEqual(await theirs.read(tensor));
  });
});
