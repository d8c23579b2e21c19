import { optionsJsonSchema, type DType, type Model, type ModulePlan, type QuantizedWeight } from '@pare/core';
import { overlayModel, SafetensorsFile } from '@pare/model';
import { failure, fixtures, folderBench, type FixtureName, type FolderBench, type WrittenFolder } from '@pare/testkit';
import { denseFloat32, denseWeight, factorizedWeight, quantizeMatrix, type QuantizerOptions, type ScaleType } from '@pare/weights';
import { createHash } from 'node:crypto';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import huggingFace, { huggingFaceFormat, type HuggingFaceOptions } from './index.js';
import { huggingFaceOptions } from './options.js';

let bench: FolderBench;
beforeAll(async () => {
  bench = await folderBench();
});
afterEach(() => bench.close());
afterAll(() => bench[Symbol.asyncDispose]());

const open = (directory: string): Promise<Model> => bench.open(directory);
const rounded: FolderBench['rounded'] = (...request) => bench.rounded(...request);
const llmCompressor = join(import.meta.dirname, '../fixtures/llm-compressor-llama');

type Written = WrittenFolder;

function write(model: Model, options: Partial<HuggingFaceOptions> = {}, signal?: AbortSignal): Promise<Written> {
  return bench.write(huggingFaceFormat, model, options, signal);
}

const w4: QuantizerOptions = { bits: 4, symmetric: true, groupSize: 32 };
const q = 'model.layers.0.self_attn.q_proj';

/** A model's only quantized matrix. */
async function withForm(change: Partial<QuantizedWeight>, name: FixtureName = 'llama', module = q): Promise<Model> {
  const base = await open(fixtures.model(name));
  const { shape } = base.modules.find((info) => info.name === module)!;
  return bench.overlaid(name, { [module]: { ...quantizeMatrix((await base.denseWeight(module)).data, shape, w4, 'float32'), ...change } });
}

interface QuantizationConfig {
  readonly ignore: string[];
  readonly config_groups: Record<string, { targets: string[]; weights: Record<string, unknown> }>;
}
const quantizationOf = ({ config }: Written): QuantizationConfig => config['quantization_config'] as QuantizationConfig;

describe('the plugin', () => {
  it('says what it is and what it takes', () => {
    expect(huggingFace).toBe(huggingFaceFormat);
    expect(huggingFaceFormat).toMatchObject({ $$type: '@pare/format', id: 'hf', api: 1 });
    expect(huggingFaceOptions.parse({})).toEqual({ dequantize: false, multiplyOut: false, oddBits: false, groupIndex: false, nonUniform: false, unpacked: false, maximumShardBytes: 5e9 });
    expect(Object.keys((optionsJsonSchema(huggingFaceFormat.options) as { properties: object }).properties)).toEqual([
      'dequantize',
      'multiplyOut',
      'oddBits',
      'nonUniform',
      'groupIndex',
      'unpacked',
      'maximumShardBytes',
    ]);
  });
});

describe('writing quantized models', () => {
  const cases: [string, QuantizerOptions, ScaleType][] = [
    ['4 bits in groups', w4, 'float32'],
    ['4 bits in asymmetric groups', { ...w4, symmetric: false }, 'float32'],
    ['4 bits with float16 scales', { ...w4, symmetric: false }, 'float16'],
    ['4 bits with bfloat16 scales', w4, 'bfloat16'],
    ['8 bits per channel', { bits: 8, symmetric: true }, 'float32'],
    ['8 bits per asymmetric channel', { bits: 8, symmetric: false }, 'float32'],
    ['2 bits', { bits: 2, symmetric: false, groupSize: 16 }, 'float32'],
    ['4 bits with one asymmetric grid', { bits: 4, symmetric: false, granularity: 'tensor' }, 'float32'],
    ['3 bits', { bits: 3, symmetric: false, groupSize: 32 }, 'float32'],
    ['7 bits', { bits: 7, symmetric: false, groupSize: 64 }, 'bfloat16'],
  ];
  it.each(cases)('%s: what is written opens as what was held', async (_, options, scaleType) => {
    const model = await rounded('qwen2', () => options, scaleType);
    const written = await write(model, { oddBits: true });
    const { tensors, largestDifference } = await written.verify();
    expect(largestDifference).toBe(0);
    const reopened = await open(written.directory);
    expect(tensors).toBeGreaterThan(reopened.tensors.length);
    expect(reopened.tensors.map(({ name }) => name)).toEqual(model.tensors.map(({ name }) => name));
    for (const { name, form } of model.modules) if (form === 'quantized') expect(await reopened.weight(name)).toEqual(await model.weight(name));
    const norm = 'model.layers.1.input_layernorm.weight';
    expect(await reopened.tensor(norm)).toEqual(await model.tensor(norm));
  });

  const plain: [string, QuantizerOptions, string][] = [
    ['8-bit floats an output', { bits: 8, symmetric: true, numbers: 'float8-e4m3' }, 'float-quantized'],
    ['8-bit floats in groups', { bits: 8, symmetric: true, numbers: 'float8-e4m3', groupSize: 32 }, 'float-quantized'],
    ['8-bit floats with one scale', { bits: 8, symmetric: true, numbers: 'float8-e4m3', granularity: 'tensor' }, 'float-quantized'],
    ['int8 an output', { bits: 8, symmetric: true }, 'int-quantized'],
    ['int8 with zero points', { bits: 8, symmetric: false }, 'int-quantized'],
    ['int8 with one grid', { bits: 8, symmetric: false, granularity: 'tensor' }, 'int-quantized'],
    ['8 bits in groups, which stay packed', { bits: 8, symmetric: true, groupSize: 32 }, 'pack-quantized'],
  ];
  it.each(plain)('%s: what is written opens as what was held', async (_, options, format) => {
    const model = await rounded('qwen2', () => options, 'bfloat16');
    const written = await write(model, { unpacked: true });
    expect((await written.verify()).largestDifference).toBe(0);
    expect(written.config['quantization_config']).toMatchObject({ format, config_groups: { group_0: { format, weights: { type: options.numbers === undefined ? 'int' : 'float', num_bits: 8 } } } });
    const reopened = await open(written.directory);
    for (const { name, form } of model.modules) if (form === 'quantized') expect(await reopened.weight(name)).toEqual(await model.weight(name));
  });

  it('writes two layouts side by side', async () => {
    const model = await rounded('llama', (name) => (name.includes('mlp') ? { bits: 8, symmetric: true, numbers: 'float8-e4m3' } : w4));
    const written = await write(model);
    await written.verify();
    expect(written.config['quantization_config']).toMatchObject({ format: 'mixed-precision', config_groups: { group_0: { format: 'pack-quantized' }, group_1: { format: 'float-quantized' } } });
    const reopened = await open(written.directory);
    for (const { name } of model.modules) expect(await reopened.weight(name)).toEqual(await model.weight(name));
  });

  it('writes what llm-compressor writes, byte for byte', async () => {
    const model = await open(llmCompressor);
    const written = await write(model);
    await written.verify();
    await using theirs = await SafetensorsFile.open(join(llmCompressor, 'model.safetensors'));
    await using ours = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    expect([...ours.names].sort()).toEqual([...theirs.names].sort());
    for (const name of theirs.names) expect(await ours.read(name), name).toEqual(await theirs.read(name));
  });

  it('declares one scheme for the class Linear, and ignores what is dense', async () => {
    const model = await rounded('llama-tied-rope-scaled', (name) => (name.includes('layers.0.') ? w4 : undefined));
    const written = await write(model);
    const { ignore, config_groups: groups } = quantizationOf(written);
    expect(Object.values(groups).map(({ targets }) => targets)).toEqual([['Linear']]);
    expect(groups['group_0']!.weights).toEqual({
      num_bits: 4,
      type: 'int',
      symmetric: true,
      strategy: 'group',
      group_size: 32,
      dynamic: false,
      actorder: null,
      block_structure: null,
      observer: 'minmax',
      observer_kwargs: {},
    });
    expect(ignore).toHaveLength(8);
    expect(ignore).toContain('model.layers.1.mlp.up_proj');
    expect(ignore).toContain('lm_head');
    expect(written.config['quantization_config']).toMatchObject({
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
      quantization_status: 'compressed',
      kv_cache_scheme: null,
    });
    await using file = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    expect(file.has('lm_head.weight')).toBe(false);
    expect(file.metadata).toEqual({ format: 'pt' });
  });

  it('declares several schemes by module name, that of experts first', async () => {
    const model = await rounded('qwen3_moe', (name) => (name.includes('self_attn') ? { bits: 8, symmetric: true } : w4));
    const written = await write(model);
    await written.verify();
    const { ignore, config_groups: groups } = quantizationOf(written);
    expect(Object.values(groups).map(({ weights, targets }) => [weights['num_bits'], weights['strategy'], weights['group_size'], targets.length])).toEqual([
      [4, 'group', 32, 24],
      [8, 'channel', null, 8],
    ]);
    expect(groups['group_0']!.targets[0]).toBe('model.layers.0.mlp.experts.0.gate_proj');
    expect(ignore).toEqual(['model.layers.0.mlp.gate', 'model.layers.1.mlp.gate', 'lm_head']);
    const reopened = await open(written.directory);
    expect(reopened.modules.filter(({ form }) => form === 'quantized')).toHaveLength(32);
  });

  it('ignores a head of another name under the name that transformers gives it', async () => {
    const model = await rounded('gpt_neox', () => w4);
    expect(quantizationOf(await write(model)).ignore).toEqual(['embed_out', 'lm_head']);
  });

  it('keeps a group index when asked', async () => {
    const groupIndex = Int32Array.from({ length: 64 }, (_, column) => column % 2);
    const model = await withForm({ groupIndex });
    const written = await write(model, { groupIndex: true });
    expect((await written.verify()).largestDifference).toBe(0);
    expect(quantizationOf(written).config_groups['group_0']!.weights['actorder']).toBe('group');
    const reopened = await open(written.directory);
    expect((await reopened.weight(q)) as QuantizedWeight).toMatchObject({ groupIndex });
  });

  it('writes a head that a recipe untied and quantized', async () => {
    const base = await open(fixtures.model('qwen2'));
    const form = quantizeMatrix((await base.denseWeight('lm_head')).data, [160, 64], w4, 'float32');
    const model = overlayModel(base, new Map([['lm_head', () => Promise.resolve(form)]]));
    const written = await write(model);
    await written.verify();
    expect(written.config['tie_word_embeddings']).toBe(false);
    expect(quantizationOf(written).ignore).not.toContain('lm_head');
    const reopened = await open(written.directory);
    expect(await reopened.weight('lm_head')).toEqual(form);
  });

  it('multiplies out on request, and says what that costs', async () => {
    const model = await rounded('gpt2', () => w4);
    const written = await write(model, { dequantize: true });
    expect((await written.verify()).largestDifference).toBe(0);
    expect(written.config).not.toHaveProperty('quantization_config');
    expect(written.warnings).toEqual([expect.stringContaining('no smaller')]);
    const reopened = await open(written.directory);
    expect(reopened.bytes).toBe(reopened.parameters * 4);
    for (const name of ['transformer.h.1.attn.c_attn', 'transformer.h.0.mlp.c_proj'])
      expect(await reopened.denseWeight(name)).toEqual(await model.denseWeight(name));
  });

  it('rounds to a 16-bit type when it multiplies out', async () => {
    const tales = join(import.meta.dirname, '../../../examples/models/tales-7m');
    const base = await open(tales);
    const module = 'model.layers.3.self_attn.k_proj';
    const { shape } = base.modules.find(({ name }) => name === module)!;
    const form = quantizeMatrix((await base.denseWeight(module)).data, shape, { bits: 4, symmetric: false, groupSize: 64 }, 'bfloat16');
    const model = overlayModel(base, new Map([[module, () => Promise.resolve(form)]]));
    const written = await write(model, { dequantize: true });
    const { largestDifference } = await written.verify();
    expect(largestDifference).toBeGreaterThan(0);
    expect(largestDifference).toBeLessThan(1e-3);
    expect(await readFile(join(written.directory, 'tokenizer.json'))).toEqual(await readFile(join(tales, 'tokenizer.json')));
  });

  it('refuses to pack a Conv1D even when nobody asked before', async () => {
    const model = await withForm({ shape: [64, 64] }, 'gpt2', 'transformer.h.0.attn.c_proj');
    const error = await failure(write(model));
    expect(error.code).toBe('PARE_FORM_UNSUPPORTED');
    expect(error.message).toContain('Conv1D');
  });

  it('stops when cancelled', async () => {
    const model = await rounded('llama', () => w4);
    expect((await failure(write(model, {}, AbortSignal.abort()))).code).toBe('PARE_ABORTED');
  });
});

describe('writing dense models', () => {
  it.each(['gemma2', 'gpt2', 'opt'] as const)('%s: hands on every tensor and every number of the configuration', async (name) => {
    const model = await open(fixtures.model(name));
    const written = await write(model);
    expect((await written.verify()).tensors).toBe(model.tensors.length);
    await using source = await SafetensorsFile.open(join(fixtures.model(name), 'model.safetensors'));
    await using copy = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    for (const tensor of source.names)
      expect(Buffer.from((await copy.readBytes(tensor, 0, 64)).buffer)).toEqual(Buffer.from((await source.readBytes(tensor, 0, 64)).buffer));
    const squeezed = (text: string): string => text.replace(/\s/g, '');
    expect(squeezed(await readFile(join(written.directory, 'config.json'), 'utf8'))).toBe(
      squeezed(await readFile(join(fixtures.model(name), 'config.json'), 'utf8')),
    );
    expect(written.files.map(({ path }) => path)).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
    for (const { path, bytes } of written.files) expect((await readFile(join(written.directory, path))).length).toBe(bytes);
  });

  it('drops the account of how the source was compressed when nothing is left of it', async () => {
    const model = await open(llmCompressor);
    const written = await write(model, { dequantize: true });
    await written.verify();
    expect(written.config).not.toHaveProperty('quantization_config');
  });

  it('splits into shards with an index', async () => {
    const model = await rounded('llama', () => w4);
    const written = await write(model, { maximumShardBytes: 50_000 });
    await written.verify();
    const names = await readdir(written.directory);
    expect(names).toContain('model.safetensors.index.json');
    expect(names.filter((name) => /^model-0000\d-of-0000\d\.safetensors$/.test(name)).length).toBeGreaterThan(2);
    const reopened = await open(written.directory);
    expect(await reopened.weight(q)).toEqual(await model.weight(q));
  });
});

describe('refusing', () => {
  const plan = (module: string, changes: Partial<ModulePlan> = {}): [string, ModulePlan] => [
    module,
    { module, produces: 'quantized', storedBits: 1, bits: 4, groupSize: 32, symmetric: true, flops: 0, workingBytes: 0, ...changes },
  ];
  const refusals = async (name: FixtureName, plans: [string, ModulePlan][], options: Partial<HuggingFaceOptions> = {}) => {
    const model = await open(fixtures.model(name));
    return huggingFaceFormat.refuse(model, new Map(plans), huggingFaceOptions.parse(options));
  };
  const cases: [string, FixtureName, [string, ModulePlan], RegExp, Partial<HuggingFaceOptions>][] = [
    ['Conv1D', 'gpt2', plan('transformer.h.0.attn.c_attn'), /Conv1D/, { dequantize: true }],
    ['an embedding', 'llama', plan('model.embed_tokens'), /embedding/, { dequantize: true }],
    ['a router', 'qwen3_moe', plan('model.layers.0.mlp.gate'), /routers/, { dequantize: true }],
    ['3 bits', 'llama', plan(q, { bits: 3 }), /fields of 3 bits straddle words/, { oddBits: true }],
    ['a group size that does not divide', 'llama', plan(q, { groupSize: 48 }), /64 inputs do not divide into groups of 48/, { dequantize: true }],
    ['a group index', 'llama', plan(q, { groupIndex: true }), /group index/, { groupIndex: true }],
  ];
  it.each(cases)('%s, with the reason and what helps', async (_, name, planned, reason, remedy) => {
    const found = await refusals(name, [planned]);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatchObject({ module: planned[0], reason: expect.stringMatching(reason) as string });
    expect(found[0]!.help.length).toBeGreaterThan(30);
    expect(await refusals(name, [planned], remedy)).toEqual([]);
  });

  it.each([2, 4, 8])('takes %i bits, any fitting group and one scale a row', async (bits) => {
    for (const groupSize of [-1, 16, 64]) expect(await refusals('llama', [plan(q, { bits, groupSize, symmetric: false })])).toEqual([]);
    expect(await refusals('phi3', [plan('model.layers.0.self_attn.qkv_proj', { bits })])).toEqual([]);
    expect(await refusals('llama', [plan('lm_head', { bits })])).toEqual([]);
  });

  it('sharing that configurations cannot express', async () => {
    expect(await refusals('llama', [plan(q, { produces: 'shared' })])).toHaveLength(1);
    expect(await refusals('llama', [plan(q, { produces: 'shared' })], { dequantize: true })).toHaveLength(1);
    expect(await refusals('qwen2', [plan('lm_head', { produces: 'shared' })])).toEqual([]);
    expect(await refusals('llama', [plan(q, { produces: 'dense' })])).toEqual([]);
  });

  it('experts of different schemes, without symmetry, or only some of them', async () => {
    const model = await open(fixtures.model('qwen3_moe'));
    const experts = model.modules.filter(({ expert }) => expert !== undefined).map(({ name }) => name);
    const all = (changes: (name: string) => Partial<ModulePlan>) => experts.map((name) => plan(name, changes(name)));
    expect(
      await refusals(
        'qwen3_moe',
        all(() => ({})),
      ),
    ).toEqual([]);
    expect(
      await refusals(
        'qwen3_moe',
        all((name) => (name === experts[5] ? { bits: 8 } : {})),
      ),
    ).toMatchObject([{ module: experts[5], reason: expect.stringContaining('8 bits') as string }]);
    const asymmetric = await refusals(
      'qwen3_moe',
      all(() => ({ symmetric: false })),
    );
    expect(asymmetric).toHaveLength(experts.length);
    expect(asymmetric[0]!.reason).toContain('zero points');
    expect(await refusals('qwen3_moe', all(() => ({})).slice(1))).toMatchObject([
      { module: experts[0], reason: expect.stringContaining('other experts') as string },
    ]);
    expect(
      await refusals(
        'qwen3_moe',
        all(() => ({ symmetric: false })),
        { dequantize: true },
      ),
    ).toEqual([]);
  });
});

describe('reading back', () => {
  async function spoilt(
    change: (written: Written, file: Buffer, place: (name: string) => number) => void | Promise<void>,
    options: QuantizerOptions = w4,
  ): Promise<{ code: string; message: string }> {
    const model = await rounded('llama', () => options);
    const written = await write(model, { maximumShardBytes: 60_000 });
    await written.verify();
    const path = join(written.directory, 'model-00002-of-00003.safetensors');
    const file = await readFile(path);
    const headerBytes = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString()) as Record<string, { data_offsets: [number, number] }>;
    await change(written, file, (part) => {
      const name = Object.keys(header).find((key) => key.endsWith(part));
      if (name === undefined) throw new Error(`no ${part} in this shard`);
      return 8 + headerBytes + header[name]!.data_offsets[0];
    });
    await writeFile(path, file);
    return failure(written.verify());
  }
  const editConfig = async ({ directory, config }: Written, edit: (config: QuantizationConfig) => void): Promise<void> => {
    edit(config['quantization_config'] as QuantizationConfig);
    await writeFile(join(directory, 'config.json'), JSON.stringify(config));
  };

  const cases: [string, Parameters<typeof spoilt>[0], RegExp, QuantizerOptions?][] = [
    ['a code', (_, file, place) => void (file[place('mlp.down_proj.weight_packed') + 5]! ^= 0x10), /weight_packed" holds code \d+ for \d+ at \[0, 11\]/],
    ['a scale', (_, file, place) => void (file[place('weight_scale')]! ^= 1), /weight_scale" holds/],
    [
      'a zero point',
      (_, file, place) => void (file[place('weight_zero_point')]! ^= 1),
      /weight_zero_point" holds \d+ for \d+ at \[0, 0\]/,
      { ...w4, symmetric: false },
    ],
    ['a stored shape', (_, file, place) => void (file[place('weight_shape')]! ^= 1), /weight_shape" is not/],
    ['a dense tensor', (_, file, place) => void (file[place('layernorm.weight') + 7]! ^= 1), /layernorm\.weight" differs at byte 7/],
    [
      'the number of bits',
      (written) => editConfig(written, (config) => (config.config_groups['group_0']!.weights['num_bits'] = 8)),
      /declared as 8 bits, symmetric, group/,
    ],
    ['the group size', (written) => editConfig(written, (config) => (config.config_groups['group_0']!.weights['group_size'] = 16)), /by its group size/],
    ['the list of dense layers', (written) => editConfig(written, (config) => config.ignore.push(q)), /is not covered by quantization_config/],
    [
      'the index',
      async ({ directory }) => {
        const path = join(directory, 'model.safetensors.index.json');
        await writeFile(path, (await readFile(path, 'utf8')).replace('model-00001', 'model-00002'));
      },
      /where the index has it/,
    ],
    ['a companion file', ({ directory }) => writeFile(join(directory, 'generation_config.json'), '{}'), /generation_config\.json" is not a copy/],
  ];
  it.each(cases)('notices a change to %s', async (_, change, message, options) => {
    const error = await spoilt(change, options);
    expect(error.code).toBe('PARE_VERIFICATION_FAILED');
    expect(error.message).toMatch(message);
  });

  it('notices tensors that are missing, extra, or dense where they should be packed', async () => {
    const model = await rounded('llama', () => w4);
    const dense = await open(fixtures.model('llama'));
    const compare = async (written: Written, held: Model, options: Partial<HuggingFaceOptions> = {}) => {
      const context = { model: held, directory: written.directory, files: held.files, options: huggingFaceOptions.parse(options), signal: new AbortController().signal };
      return failure(huggingFaceFormat.verify(context as never, written.files));
    };
    const packed = await write(model);
    const plain = await write(dense);
    expect((await compare(plain, model)).message).toMatch(/q_proj\.weight" is dense, the model holds it quantized/);
    expect((await compare(packed, dense)).message).toMatch(/stand for a dense weight/);
    const weightless = { ...plain, files: plain.files.filter(({ path }) => path !== 'model.safetensors') };
    expect((await compare(weightless, dense)).message).toContain('"model.embed_tokens.weight" is missing');
    await cp(join(plain.directory, 'model.safetensors'), join(packed.directory, 'other.safetensors'));
    const context = { model, directory: packed.directory, files: model.files, options: huggingFaceOptions.parse({}), signal: new AbortController().signal };
    const extra = await failure(huggingFaceFormat.verify(context as never, [...packed.files, { path: 'other.safetensors', bytes: 0 }]));
    expect(extra.message).toContain('belongs to nothing');
  });
});

describe("llm-compressor's folder", () => {
  it('opens with the weights that compressed-tensors reads from it', async () => {
    const { sha256 } = JSON.parse(await readFile(join(llmCompressor, 'expected.json'), 'utf8')) as { sha256: Record<string, string> };
    const model = await open(llmCompressor);
    const linear = model.modules.filter(({ kind }) => kind !== 'embedding');
    expect(linear.map(({ name }) => name).sort()).toEqual(Object.keys(sha256).sort());
    for (const { name } of linear) {
      const { data } = await model.denseWeight(name);
      expect(
        createHash('sha256')
          .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
          .digest('hex'),
        name,
      ).toBe(sha256[name]);
    }
    const schemes = await Promise.all(['self_attn.k_proj', 'mlp.up_proj', 'mlp.down_proj'].map((name) => model.weight(`model.layers.1.${name}`)));
    expect(schemes.map((form) => (form.form === 'quantized' ? form.scheme : undefined))).toEqual([
      { bits: 4, symmetric: false, granularity: 'group', groupSize: 32 },
      { bits: 4, symmetric: true, granularity: 'group', groupSize: 32 },
      { bits: 8, symmetric: true, granularity: 'channel', groupSize: 128 },
    ]);
    const types = new Set<DType>(model.modules.map(({ dtype }) => dtype));
    expect([...types]).toEqual(['float32']);
  });
});

describe('factorized weights', () => {
  const plan: ModulePlan = { module: q, produces: 'factorized', storedBits: 8e6, rank: 3, flops: 0, workingBytes: 0 };

  it('are refused before the run, with what multiplying out costs', async () => {
    const model = await open(fixtures.model('llama'));
    const [refusal] = huggingFaceFormat.refuse(model, new Map([[q, plan]]), huggingFaceOptions.parse({}));
    expect(refusal).toMatchObject({ module: q, reason: expect.stringMatching(/factorized/) as string, help: expect.stringMatching(/multiplyOut: true.*MB instead of 1\.0 MB/) as string });
    const allowed = huggingFaceOptions.parse({ multiplyOut: true });
    expect(huggingFaceFormat.refuse(model, new Map([[q, plan]]), allowed)).toEqual([]);
    expect(huggingFaceFormat.notes?.(model, new Map([[q, plan]]), allowed)).toEqual([expect.stringMatching(/^1 factorized matrix is multiplied out: .* MB instead of 1\.0 MB/)]);
    expect(huggingFaceFormat.notes?.(model, new Map(), allowed)).toEqual([]);
  });

  it('are written as their product when asked', async () => {
    const base = await open(fixtures.model('llama'));
    const { shape } = base.modules.find(({ name }) => name === q)!;
    const factor = (rows: number, columns: number) => denseWeight(Float32Array.from({ length: rows * columns }, (_, index) => Math.sin(index)), [rows, columns], 'float32');
    const form = factorizedWeight(factor(shape[0], 3), factor(3, shape[1]));
    const model = overlayModel(base, new Map([[q, () => Promise.resolve(form)]]), new Map([[q, { ...plan }]]));
    expect(await failure(write(model))).toMatchObject({ code: 'PARE_FORM_UNSUPPORTED' });
    const { directory, config, verify } = await write(model, { multiplyOut: true });
    expect(config['quantization_config']).toBeUndefined();
    await verify();
    const product = denseFloat32(form);
    const found = (await (await open(directory)).denseWeight(q)).data;
    const { dtype } = base.modules.find(({ name }) => name === q)!;
    expect(found.every((value, index) => Math.abs(value - product[index]!) <= (dtype === 'float32' ? 0 : Math.abs(product[index]!) / 128))).toBe(true);
  });
});

describe("compressed-tensors' layouts of single codes", () => {
  it.each(['float8', 'int8'])('%s: opens with its weights, is rounded to the same codes here, and is written again byte for byte', async (name) => {
    const directory = join(import.meta.dirname, `../fixtures/compressed-tensors-${name}`);
    const { sha256 } = JSON.parse(await readFile(join(directory, 'expected.json'), 'utf8')) as { sha256: Record<string, string> };
    const model = await open(directory);
    const source = await open(fixtures.model('llama'));
    const linear = model.modules.filter(({ kind }) => kind === 'linear');
    expect(linear.map((info) => info.name).sort()).toEqual(Object.keys(sha256).sort());
    for (const { name: module, shape } of linear) {
      const { data } = await model.denseWeight(module);
      expect(createHash('sha256').update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest('hex'), module).toBe(sha256[module]);
      if (name === 'float8') expect(quantizeMatrix((await source.denseWeight(module)).data, shape, { bits: 8, symmetric: true, numbers: 'float8-e4m3' }, 'float32'), module).toEqual(await model.weight(module));
    }
    const written = await write(model, { unpacked: true });
    await written.verify();
    await using theirs = await SafetensorsFile.open(join(directory, 'model.safetensors'));
    await using ours = await SafetensorsFile.open(join(written.directory, 'model.safetensors'));
    expect([...ours.names].sort()).toEqual([...theirs.names].sort());
    for (const tensor of theirs.names) {
      expect(await ours.read(tensor), tensor).toEqual(await theirs.read(tensor));
      expect(ours.info(tensor).byteType).toBe(theirs.info(tensor).byteType);
    }
  });

  it('notices a changed code and another type in the configuration', async () => {
    for (const numbers of [undefined, 'float8-e4m3'] as const) {
      const written = await write(await withForm(quantizeMatrix((await (await open(fixtures.model('llama'))).denseWeight(q)).data, [64, 64], { bits: 8, symmetric: true, numbers }, 'float32')), { unpacked: true });
      await written.verify();
      const groups = quantizationOf(written).config_groups;
      groups['group_0']!.weights['type'] = numbers === undefined ? 'float' : 'int';
      await writeFile(join(written.directory, 'config.json'), JSON.stringify(written.config));
      expect((await failure(written.verify())).message).toMatch(/is declared as 8 bits/);
    }
  });

  it('says who reads 8-bit floats in groups', async () => {
    const model = await open(fixtures.model('llama'));
    const plan = (groupSize: number): Map<string, ModulePlan> => new Map([[q, { module: q, produces: 'quantized', storedBits: 1, bits: 8, groupSize, symmetric: true, numbers: 'float8-e4m3', flops: 0, workingBytes: 0 }]]);
    expect(huggingFaceFormat.notes?.(model, plan(32), huggingFaceOptions.parse({}))).toEqual([expect.stringMatching(/8-bit floats in groups/)]);
    expect(huggingFaceFormat.notes?.(model, plan(-1), huggingFaceOptions.parse({}))).toEqual([]);
    expect(huggingFaceFormat.refuse(model, plan(32), huggingFaceOptions.parse({}))).toEqual([]);
  });
});
