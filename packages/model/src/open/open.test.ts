import gptNeox from '@pare/architecture-gpt-neox';
import gpt2 from '@pare/architecture-gpt2';
import llama from '@pare/architecture-llama';
import opt from '@pare/architecture-opt';
import { float32Tensor, hostTensor, isPareError, type HostTensor, type ModuleRole, type QuantizedWeight } from '@pare/core';
import { defaultFiles } from '@pare/platform';
import { dequantize } from '@pare/weights';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsFile } from '../store/safetensors-file.js';
import { bytesOf, tensorEntry, writeSafetensors } from '../store/safetensors-writer.js';
import { isCompanionFile } from './companion-files.js';
import { configText } from './config-text.js';
import { openModel } from './open-model.js';
import { overlayModel } from './overlay-model.js';
import { storedBytes } from './stored-model.js';

const architectures = [llama, gpt2, gptNeox, opt];
const fixtures = join(import.meta.dirname, '../../../testkit/fixtures/architectures');
const fixtureNames = await readdir(fixtures);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pare-open-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function failure(action: Promise<unknown>): Promise<{ code: string; message: string; help: string }> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPareError(error)) throw new Error(`expected a PareError, got ${String(error)}`);
  return error;
}

/** `toEqual` walks arrays element by element; whole models are compared as bytes. */
function sameTensor(a: HostTensor, b: HostTensor): boolean {
  return a.dtype === b.dtype && a.shape.join() === b.shape.join() && Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

type Tensors = Map<string, HostTensor>;
type Config = Record<string, unknown>;

/** A copy of a fixture with changes to its tensors and configuration. */
async function changed(fixture: string, name: string, change: (tensors: Tensors, config: Config) => void): Promise<string> {
  const source = join(fixtures, fixture);
  const target = join(folder, name);
  await cp(source, target, { recursive: true });
  const tensors: Tensors = new Map();
  await using file = await SafetensorsFile.open(join(source, 'model.safetensors'));
  for (const tensor of file.names) tensors.set(tensor, await file.read(tensor));
  const config = JSON.parse(await readFile(join(source, 'config.json'), 'utf8')) as Config;
  change(tensors, config);
  await writeFile(join(target, 'config.json'), JSON.stringify(config));
  await writeSafetensors(
    join(target, 'model.safetensors'),
    [...tensors].map(([key, tensor]) => tensorEntry(key, tensor)),
  );
  return target;
}

describe('openModel on the eleven fixtures', () => {
  it.each(fixtureNames)('%s: finds every stored tensor in its place', async (fixture) => {
    await using model = await openModel(join(fixtures, fixture), { architectures });
    await using file = await SafetensorsFile.open(join(fixtures, fixture, 'model.safetensors'));
    expect(model.tensors.map(({ name }) => name).sort()).toEqual([...file.names].sort());
    const elements = file.names.reduce((sum, name) => sum + file.info(name).byteLength / 4, 0);
    expect(model.parameters).toBe(elements);
    expect(model.bytes).toBe(4 * elements);
    expect(model.companionFiles).toEqual(['generation_config.json']);
    expect(model.name).toBe(fixture);
    for (const info of model.modules) {
      const dense = await model.denseWeight(info.name);
      expect(dense.shape).toEqual(info.shape);
      expect(info.form).toBe(info.sharedWith === undefined ? 'dense' : 'shared');
      if (info.sharedWith !== undefined) continue;
      const stored = await file.read(`${info.name}.weight`);
      expect(sameTensor(await model.tensor(`${info.name}.weight`), stored)).toBe(true);
      const [rows, columns] = info.shape;
      const at = (row: number, column: number) => (info.layout === 'out-in' ? stored.data[row * columns + column] : stored.data[column * rows + row]);
      for (const [row, column] of [
        [0, 0],
        [0, 1],
        [rows - 1, 3],
        [1, columns - 1],
      ] as const)
        expect(dense.data[row * columns + column]).toBe(at(row, column));
    }
  });

  const order: [string, [ModuleRole, number][]][] = [
    [
      'llama',
      [
        ['attention.query', 0],
        ['attention.key', 0],
        ['attention.value', 0],
        ['attention.output', 1],
        ['mlp.gate', 2],
        ['mlp.up', 2],
        ['mlp.down', 3],
      ],
    ],
    [
      'gpt2',
      [
        ['attention.qkv', 0],
        ['attention.output', 1],
        ['mlp.up', 2],
        ['mlp.down', 3],
      ],
    ],
    [
      'phi3',
      [
        ['attention.qkv', 0],
        ['attention.output', 1],
        ['mlp.gate-up', 2],
        ['mlp.down', 3],
      ],
    ],
    [
      'gpt_neox',
      [
        ['attention.qkv', 0],
        ['attention.output', 1],
        ['mlp.up', 2],
        ['mlp.down', 3],
      ],
    ],
  ];
  it.each(order)('%s: lists the modules of a block in execution order', async (fixture, expected) => {
    await using model = await openModel(join(fixtures, fixture), { architectures });
    for (const block of [0, 1]) expect(model.modules.filter((info) => info.block === block).map(({ role, step }) => [role, step])).toEqual(expected);
    expect(model.modules.at(0)).toMatchObject({ kind: 'embedding', role: 'embedding', block: undefined });
    expect(model.modules.at(-1)).toMatchObject({ kind: 'head', role: 'head', block: undefined });
  });

  it('numbers the experts of a mixture, the router before them', async () => {
    await using model = await openModel(join(fixtures, 'qwen3_moe'), { architectures });
    const mixture = model.modules.filter(({ block, role }) => block === 1 && role.startsWith('mlp.'));
    expect(mixture[0]).toMatchObject({ kind: 'router', role: 'mlp.router', shape: [4, 64], step: 2, expert: undefined });
    expect(mixture.slice(1).map(({ role, expert, step }) => `${role} ${String(expert)} ${String(step)}`)).toEqual([
      ...[0, 1, 2, 3].flatMap((expert) => [`mlp.gate ${String(expert)} 2`, `mlp.up ${String(expert)} 2`]),
      ...[0, 1, 2, 3].map((expert) => `mlp.down ${String(expert)} 3`),
    ]);
  });

  it('ties the head to the embedding', async () => {
    await using model = await openModel(join(fixtures, 'llama-tied-rope-scaled'), { architectures });
    expect(model.modules.at(-1)).toMatchObject({ name: 'lm_head', sharedWith: 'model.embed_tokens', form: 'shared', dtype: 'float32' });
    expect(await model.weight('lm_head')).toEqual({ form: 'shared', shape: [160, 64], with: 'model.embed_tokens' });
    expect((await model.denseWeight('lm_head')).data).toEqual((await model.denseWeight('model.embed_tokens')).data);
    expect(await model.tensor('lm_head.weight')).toEqual(await model.tensor('model.embed_tokens.weight'));
    expect(model.has('lm_head.weight')).toBe(false);
  });
});

describe('checkpoints of other spellings', () => {
  const rename = (change: (name: string) => string) => (tensors: Tensors) => {
    for (const [name, tensor] of [...tensors]) {
      tensors.delete(name);
      tensors.set(change(name), tensor);
    }
  };
  it.each([
    ['gpt2', 'stripped', (name: string) => name.replace(/^transformer\./, '')],
    ['opt', 'opt-stripped', (name: string) => name.replace(/^model\./, '')],
    ['llama', 'llama-stripped', (name: string) => name.replace(/^model\./, '')],
    ['llama', 'wrapped', (name: string) => `language_model.${name}`],
    ['llama', 'half-wrapped', (name: string) => (name.startsWith('lm_head') ? name : `base.${name}`)],
  ])('%s %s opens under the usual names', async (fixture, name, change) => {
    const path = await changed(fixture, name, rename(change));
    await using usual = await openModel(join(fixtures, fixture), { architectures });
    await using model = await openModel(path, { architectures });
    expect(model.tensors).toEqual(usual.tensors);
    for (const tensor of [usual.tensors[0]!, usual.tensors.at(-1)!, usual.tensors[5]!])
      expect(await model.tensor(tensor.name)).toEqual(await usual.tensor(tensor.name));
  });

  it('leaves tensors that the model does not need alone', async () => {
    const path = await changed('gpt2', 'buffers', (tensors) => tensors.set('transformer.h.0.attn.bias', hostTensor('bool', [1, 1, 4, 4])));
    await using usual = await openModel(join(fixtures, 'gpt2'), { architectures });
    await using model = await openModel(path, { architectures });
    expect(model.parameters).toBe(usual.parameters);
    expect((await model.tensor('transformer.h.0.attn.bias')).dtype).toBe('bool');
  });

  it('reads 16-bit weights as float32, and hands them out as stored', async () => {
    const path = await changed('llama', 'half', (tensors) => {
      tensors.set('model.layers.0.self_attn.q_proj.weight', hostTensor('bfloat16', [64, 64], new Uint16Array(4096).fill(0x4040)));
      tensors.set('model.layers.0.self_attn.k_proj.weight', hostTensor('float16', [32, 64], new Uint16Array(2048).fill(0x4200)));
    });
    await using model = await openModel(path, { architectures });
    for (const name of ['q_proj', 'k_proj'])
      expect((await model.denseWeight(`model.layers.0.self_attn.${name}`)).data.every((value) => value === 3)).toBe(true);
    expect((await model.tensor('model.layers.0.self_attn.k_proj.weight')).data[0]).toBe(0x4200);
    expect(model.modules[1]).toMatchObject({ role: 'attention.query', dtype: 'bfloat16' });
    expect(model.bytes).toBe(4 * model.parameters - 2 * (4096 + 2048));
  });
});

describe('bad models', () => {
  const bad: [string, () => Promise<string>, string, RegExp][] = [
    ['a folder that does not exist', () => Promise.resolve(join(folder, 'nowhere')), 'PARE_FILE_UNREADABLE', /nowhere.config\.json: there is no such file/],
    [
      'a configuration that is not JSON',
      async () => {
        const path = await changed('llama', 'not-json', () => {});
        await writeFile(join(path, 'config.json'), '{');
        return path;
      },
      'PARE_CONFIG_INVALID',
      /not JSON/,
    ],
    [
      'a configuration that is a list',
      async () => {
        const path = await changed('llama', 'list', () => {});
        await writeFile(join(path, 'config.json'), '[]');
        return path;
      },
      'PARE_CONFIG_INVALID',
      /not an object/,
    ],
    [
      'no model type',
      () => changed('llama', 'typeless', (_, config) => delete config['model_type']),
      'PARE_CONFIG_INVALID',
      /typeless.config\.json: model_type is missing/,
    ],
    [
      'an unknown model type',
      () => changed('llama', 'unknown', (_, config) => (config['model_type'] = 'lama')),
      'PARE_ARCHITECTURE_UNKNOWN',
      /model type "lama"/,
    ],
    [
      'a size that is no number, with the path of the file',
      () => changed('llama', 'sizeless', (_, config) => (config['hidden_size'] = 'big')),
      'PARE_CONFIG_INVALID',
      /sizeless.config\.json: hidden_size/,
    ],
    [
      'sizes that disagree with the tensors',
      () => changed('llama', 'sizes', (_, config) => (config['intermediate_size'] = 256)),
      'PARE_MODEL_TENSOR_SHAPE',
      /"model\.layers\.0\.mlp\.gate_proj\.weight" is \[128, 64\], config\.json makes it \[256, 64\]/,
    ],
    [
      'more layers than are stored',
      () => changed('llama', 'layers', (_, config) => (config['num_hidden_layers'] = 3)),
      'PARE_MODEL_TENSOR_MISSING',
      /"model\.layers\.2\.input_layernorm\.weight" \[64\]/,
    ],
    [
      'weights that are integers',
      () => changed('llama', 'integers', (tensors) => tensors.set('model.norm.weight', hostTensor('int8', [64]))),
      'PARE_MODEL_TENSOR_SHAPE',
      /"model\.norm\.weight" is int8/,
    ],
    [
      'a head that is neither tied nor stored',
      () => changed('llama', 'headless', (tensors) => tensors.delete('lm_head.weight')),
      'PARE_MODEL_TENSOR_MISSING',
      /"lm_head\.weight"/,
    ],
  ];
  it.each(bad)('refuses %s', async (_, make, code, message) => {
    const error = await failure(openModel(await make(), { architectures }));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('suggests a stored tensor of a similar name, but none that has its place', async () => {
    const path = await changed('llama', 'slip', (tensors) => {
      tensors.set('model.layers.1.mlp.up_prj.weight', tensors.get('model.layers.1.mlp.up_proj.weight')!);
      tensors.delete('model.layers.1.mlp.up_proj.weight');
    });
    expect((await failure(openModel(path, { architectures }))).help).toContain('"model.layers.1.mlp.up_prj.weight"');
    expect((await failure(openModel(join(folder, 'layers'), { architectures }))).help).not.toContain('Did you mean');
  });

  it('suggests the nearest model type', async () => {
    expect((await failure(openModel(join(folder, 'unknown'), { architectures }))).help).toContain('Did you mean "llama"?');
  });

  it('refuses NaN and infinities when a weight is read, with tensor and index', async () => {
    const path = await changed('llama', 'nan', (tensors) => {
      (tensors.get('model.layers.1.mlp.up_proj.weight')!.data as Float32Array)[77] = NaN;
      (tensors.get('model.norm.weight')!.data as Float32Array)[2] = -Infinity;
    });
    await using model = await openModel(path, { architectures });
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(await failure(model.weight('model.layers.1.mlp.up_proj'))).toMatchObject({
        code: 'PARE_WEIGHT_NOT_FINITE',
        data: { tensor: 'model.layers.1.mlp.up_proj.weight', index: 77, value: 'NaN' },
      });
    }
    expect((await failure(model.tensor('model.norm.weight'))).message).toContain('-Infinity at element 2');
  });

  it('names unknown modules and tensors', async () => {
    await using model = await openModel(join(fixtures, 'llama'), { architectures });
    expect((await failure(model.weight('model.layers.0.mlp.up_prj'))).help).toContain('"model.layers.0.mlp.up_proj"');
    expect((await failure(model.tensor('model.layers.9.mlp.up_proj.weight'))).code).toBe('PARE_TENSOR_UNKNOWN');
  });

  it('stops when cancelled', async () => {
    expect((await failure(openModel(join(fixtures, 'llama'), { architectures, signal: AbortSignal.abort() }))).code).toBe('PARE_ABORTED');
  });
});

/** Fields of `bits` bits, least significant first, rows padded to whole words. Bit by bit, unlike the reader under test. */
function pack(fields: readonly number[], rows: number, columns: number, bits: number): Int32Array {
  const width = Math.ceil((columns * bits) / 32);
  const words = new Int32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let bit = 0; bit < bits; bit++) {
        const position = column * bits + bit;
        if ((fields[row * columns + column]! >> bit) & 1) words[row * width + Math.floor(position / 32)]! |= 1 << (position % 32);
      }
    }
  }
  return words;
}

const q = 'model.layers.0.self_attn.q_proj';
const weights = { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 32, dynamic: false, actorder: null, observer: 'minmax' };
const quantizationConfig = (changes: Config = {}, groupChanges: Config = {}, weightChanges: Config = {}): Config => ({
  quant_method: 'compressed-tensors',
  format: 'pack-quantized',
  quantization_status: 'compressed',
  ignore: ['lm_head'],
  kv_cache_scheme: null,
  sparsity_config: {},
  config_groups: {
    group_0: { targets: ['Linear'], input_activations: null, output_activations: null, weights: { ...weights, ...weightChanges }, ...groupChanges },
  },
  ...changes,
});

/** A copy of the llama fixture in which q_proj of block 0 [64, 64] is pack-quantized with made-up fields. */
async function packed(
  name: string,
  options: { bits?: number; groups?: number; tensor?: boolean; zeros?: boolean; index?: boolean; config: Config; change?: (tensors: Tensors) => void },
): Promise<{ path: string; expected: QuantizedWeight }> {
  const { bits = 4, groups = 2, zeros = false, index = false } = options;
  const grids = options.tensor ? 1 : 64 * groups;
  const codes = Array.from({ length: 4096 }, (_, at) => (at * 7 + (at >> 6)) % 2 ** bits);
  const zeroFields = Array.from({ length: grids }, (_, at) => (at * 5 + 3) % 2 ** bits);
  const scales = Float32Array.from({ length: grids }, (_, at) => (at + 1) / 256);
  const groupIndex = Int32Array.from({ length: 64 }, (_, column) => (column * 3) % groups);
  const path = await changed('llama', name, (tensors, config) => {
    config['quantization_config'] = options.config;
    tensors.delete(`${q}.weight`);
    tensors.set(`${q}.weight_packed`, hostTensor('int32', [64, 2 * bits], pack(codes, 64, 64, bits)));
    tensors.set(`${q}.weight_scale`, float32Tensor(options.tensor ? [1] : [64, groups], scales));
    tensors.set(`${q}.weight_shape`, hostTensor('int64', [2], BigInt64Array.of(64n, 64n)));
    if (zeros && options.tensor) tensors.set(`${q}.weight_zero_point`, hostTensor('int8', [1], Int8Array.of(zeroFields[0]! - 2 ** (bits - 1))));
    else if (zeros) {
      // Packed along the rows: word w of group g holds rows 32/bits·w and on.
      const byGroup = Array.from({ length: groups * 64 }, (_, at) => zeroFields[(at % 64) * groups + Math.floor(at / 64)]!);
      const turned = pack(byGroup, groups, 64, bits);
      const words = 2 * bits;
      tensors.set(
        `${q}.weight_zero_point`,
        hostTensor(
          'int32',
          [words, groups],
          Int32Array.from(turned, (_, at) => turned[(at % groups) * words + Math.floor(at / groups)]!),
        ),
      );
    }
    if (index) tensors.set(`${q}.weight_g_idx`, hostTensor('int32', [64], groupIndex));
    options.change?.(tensors);
  });
  const expected: QuantizedWeight = {
    form: 'quantized',
    shape: [64, 64],
    scheme: { bits, symmetric: !zeros, granularity: options.tensor ? 'tensor' : groups === 1 ? 'channel' : 'group', groupSize: 64 / groups },
    codes: Uint8Array.from(codes),
    scales,
    scaleType: 'float32',
    zeros: zeros ? Uint8Array.from(zeroFields) : undefined,
    groupIndex: index ? groupIndex : undefined,
  };
  return { path, expected };
}

describe('folders compressed with pack-quantized', () => {
  const cases: [string, Parameters<typeof packed>[1]][] = [
    ['symmetric groups', { config: quantizationConfig() }],
    ['asymmetric groups', { zeros: true, config: quantizationConfig({}, {}, { symmetric: false }) }],
    ['8 bits per channel', { bits: 8, groups: 1, config: quantizationConfig({}, {}, { num_bits: 8, strategy: 'channel', group_size: null }) }],
    ['asymmetric channels', { groups: 1, zeros: true, config: quantizationConfig({}, {}, { strategy: 'channel', group_size: null, symmetric: false }) }],
    ['one scale', { tensor: true, groups: 1, zeros: true, config: quantizationConfig({}, {}, { strategy: 'tensor', group_size: null, symmetric: false }) }],
    ['3 bits across words', { bits: 3, zeros: true, config: quantizationConfig({}, {}, { num_bits: 3, symmetric: false }) }],
    ['columns grouped by activation order', { index: true, config: quantizationConfig({}, {}, { actorder: 'group' }) }],
    ['strategy implied by the group size', { config: quantizationConfig({}, {}, { strategy: null }) }],
    ['a pattern for a target', { config: quantizationConfig({}, { targets: ['re:model\\.layers\\.\\d+\\..*q_proj'] }) }],
    [
      'a named group before a class',
      {
        bits: 8,
        config: quantizationConfig({ config_groups: { a: { targets: ['Linear'], weights }, b: { targets: [q], weights: { ...weights, num_bits: 8 } } } }),
      },
    ],
    ['a group with a format of its own', { config: quantizationConfig({ format: 'mixed-precision' }, { format: 'pack-quantized' }) }],
  ];
  it.each(cases)('opens %s', async (name, options) => {
    const { path, expected } = await packed(name, options);
    await using model = await openModel(path, { architectures });
    await using dense = await openModel(join(fixtures, 'llama'), { architectures });
    expect(await model.weight(q)).toEqual(expected);
    const values = dequantize(expected);
    expect((await model.denseWeight(q)).data).toEqual(values);
    expect(await model.tensor(`${q}.weight`)).toEqual(float32Tensor([64, 64], values));
    expect(model.modules.filter(({ form }) => form === 'quantized').map((info) => info.name)).toEqual([q]);
    expect(model.tensors).toEqual(dense.tensors);
    expect(model.parameters).toBe(dense.parameters);
    const index = options.index ? 256 : 0;
    const zeros = expected.zeros === undefined ? 0 : options.tensor ? 1 : (expected.zeros.length * expected.scheme.bits) / 8;
    expect(storedBytes(model, q)).toBe(512 * expected.scheme.bits + 4 * expected.scales.length + 16 + index + zeros);
    expect(model.bytes).toBe(dense.bytes - 4 * 4096 + storedBytes(model, q));
  });

  it('reads int8 zero points of older writers', async () => {
    const { path, expected } = await packed('int8-zeros', {
      zeros: true,
      config: quantizationConfig({}, {}, { symmetric: false }),
      change: (tensors) =>
        tensors.set(
          `${q}.weight_zero_point`,
          hostTensor(
            'int8',
            [64, 2],
            Int8Array.from({ length: 128 }, (_, at) => ((at * 5 + 3) % 16) - 8),
          ),
        ),
    });
    await using model = await openModel(path, { architectures });
    expect(await model.weight(q)).toEqual(expected);
  });

  it('reads a folder whose configuration says that weights are dense', async () => {
    const path = await changed('llama', 'said-dense', (_, config) => (config['quantization_config'] = { quant_method: 'compressed-tensors', format: 'dense' }));
    await using model = await openModel(path, { architectures });
    expect(model.modules.every(({ form }) => form === 'dense')).toBe(true);
  });

  const unsupported: [string, Config, RegExp][] = [
    ['another method', { quant_method: 'hqq', bits: 4 }, /quantization_config\.quant_method is "hqq"/],
    ['no method', {}, /quant_method is missing/],
    ['another format', quantizationConfig({ format: 'nvfp4-pack-quantized' }), /quantization_config\.format is "nvfp4-pack-quantized"/],
    ['a group of another format', quantizationConfig({}, { format: 'mxfp4-pack-quantized' }), /config_groups\.group_0\.format is "mxfp4-pack-quantized"/],
    ['activations of 4 bits', quantizationConfig({}, { input_activations: { num_bits: 4 } }), /group_0\.input_activations is \{"num_bits":4\}/],
    ['dynamic grids for whole tensors', quantizationConfig({}, { input_activations: { num_bits: 8, strategy: 'tensor', dynamic: true } }), /group_0\.input_activations is/],
    ['tokens with zero points', quantizationConfig({}, { input_activations: { num_bits: 8, strategy: 'token', dynamic: true, symmetric: false } }), /group_0\.input_activations is/],
    ['float activations', quantizationConfig({}, { input_activations: { num_bits: 8, type: 'float' } }), /group_0\.input_activations is/],
    ['quantized outputs', quantizationConfig({}, { output_activations: { num_bits: 8 } }), /group_0\.output_activations is/],
    ['a quantized cache', quantizationConfig({ kv_cache_scheme: { num_bits: 8 } }), /kv_cache_scheme/],
    ['transforms', quantizationConfig({ transform_config: { config_groups: {} } }), /transform_config/],
    ['floats of 4 bits', quantizationConfig({}, {}, { type: 'float' }), /weights\.num_bits is 4/],
    ['floats with zero points', quantizationConfig({}, {}, { type: 'float', num_bits: 8, symmetric: false }), /weights\.symmetric is false/],
    ['1 bit', quantizationConfig({}, {}, { num_bits: 1 }), /num_bits is 1/],
    ['blocks', quantizationConfig({}, {}, { strategy: 'block' }), /strategy is "block"/],
    ['groups without a size', quantizationConfig({}, {}, { group_size: null }), /group_size is 0/],
    ['no groups', quantizationConfig({ config_groups: 4 }), /config_groups is 4/],
    ['a pattern that JavaScript lacks', quantizationConfig({ ignore: ['re:(?>a)'] }), /ignore is "re:\(\?>a\)"/],
    ['no scheme for a packed matrix', quantizationConfig({ ignore: ['re:.*q_proj'] }), /without a config group for "model\.layers\.0\.self_attn\.q_proj"/],
  ];
  it.each(unsupported)('refuses %s, by name', async (name, config, message) => {
    const { path } = await packed(`unsupported ${name}`, { config });
    const error = await failure(openModel(path, { architectures }));
    expect(error.code).toBe('PARE_QUANTIZATION_UNSUPPORTED');
    expect(error.message).toMatch(message);
  });

  const disagreeing: [string, (tensors: Tensors) => void, string, RegExp][] = [
    ['a missing scale', (tensors) => tensors.delete(`${q}.weight_scale`), 'PARE_MODEL_TENSOR_MISSING', /q_proj\.weight_scale/],
    ['scales of another group size', (tensors) => tensors.set(`${q}.weight_scale`, float32Tensor([64, 4])), 'PARE_MODEL_TENSOR_SHAPE', /float32 \[64, 4\]/],
    ['codes of another width', (tensors) => tensors.set(`${q}.weight_packed`, hostTensor('int32', [64, 16])), 'PARE_MODEL_TENSOR_SHAPE', /int32 \[64, 16\]/],
    ['codes of another type', (tensors) => tensors.set(`${q}.weight_packed`, hostTensor('uint8', [64, 32])), 'PARE_MODEL_TENSOR_SHAPE', /uint8 \[64, 32\]/],
  ];
  it.each(disagreeing)('refuses %s', async (name, change, code, message) => {
    const { path } = await packed(`disagreeing ${name}`, { config: quantizationConfig(), change });
    expect(await failure(openModel(path, { architectures }))).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });

  it('refuses values that contradict each other when they are read', async () => {
    const { path } = await packed('values', {
      index: true,
      config: quantizationConfig(),
      change: (tensors) => (tensors.get(`${q}.weight_g_idx`)!.data[5] = 2),
    });
    await using model = await openModel(path, { architectures });
    expect((await failure(model.weight(q))).message).toContain('group 2');
    const other = await packed('stored-shape', {
      config: quantizationConfig(),
      change: (tensors) => tensors.set(`${q}.weight_shape`, hostTensor('int64', [2], BigInt64Array.of(64n, 63n))),
    });
    await using second = await openModel(other.path, { architectures });
    expect((await failure(second.weight(q))).message).toContain('[64, 63]');
    const third = await packed('scale-nan', {
      config: quantizationConfig(),
      change: (tensors) => ((tensors.get(`${q}.weight_scale`)!.data as Float32Array)[9] = NaN),
    });
    await using last = await openModel(third.path, { architectures });
    expect((await failure(last.weight(q))).code).toBe('PARE_WEIGHT_NOT_FINITE');
  });
});

describe('folders in the layouts of GPTQ and AWQ', () => {
  /** q_proj [64, 64] with every field 7 and scales of 1/8. */
  const gptqParts = (tensors: Tensors): void => {
    tensors.delete(`${q}.weight`);
    tensors.set(`${q}.qweight`, hostTensor('int32', [8, 64], new Int32Array(512).fill(0x77777777)));
    tensors.set(`${q}.qzeros`, hostTensor('int32', [2, 8], new Int32Array(16).fill(0x77777777)));
    tensors.set(`${q}.scales`, float32Tensor([2, 64], new Float32Array(128).fill(0.125)));
  };
  const awqParts = (tensors: Tensors): void => {
    gptqParts(tensors);
    tensors.set(`${q}.qweight`, hostTensor('int32', [64, 8], new Int32Array(512).fill(0x77777777)));
  };
  const write = (name: string, parts: (tensors: Tensors) => void, config: Config | undefined): Promise<string> =>
    changed('llama', name, (tensors, whole) => {
      parts(tensors);
      if (config !== undefined) whole['quantization_config'] = config;
    });
  const value = async (path: string): Promise<number> => {
    await using model = await openModel(path, { architectures });
    const { data } = await model.denseWeight(q);
    expect(new Set(data).size).toBe(1);
    return data[0]!;
  };

  it('count zero points by their version, and AWQ as they are', async () => {
    expect(await value(await write('gptq-1', gptqParts, { quant_method: 'gptq', bits: 4, group_size: 32 }))).toBe(-0.125);
    expect(await value(await write('gptq-2', gptqParts, { quant_method: 'gptq', bits: 4, group_size: 32, checkpoint_format: 'gptq_v2' }))).toBe(0);
    expect(await value(await write('awq-1', awqParts, { quant_method: 'awq', bits: 4, group_size: 32, version: 'GEMM' }))).toBe(0);
  });

  it('follow exceptions, and accounts in files of their own', async () => {
    expect(await value(await write('gptq-dynamic', gptqParts, { quant_method: 'gptq', bits: 8, group_size: 16, dynamic: { '-:.*mlp.*': {}, '+:.*q_proj': { bits: 4, group_size: 32 } } }))).toBe(-0.125);
    const old = await write('gptq-separate', gptqParts, undefined);
    await writeFile(join(old, 'quantize_config.json'), JSON.stringify({ bits: 4, group_size: 32, desc_act: false, sym: true }));
    expect(await value(old)).toBe(-0.125);
    const awq = await write('awq-separate', awqParts, undefined);
    await writeFile(join(awq, 'quant_config.json'), JSON.stringify({ zero_point: true, q_group_size: 32, w_bit: 4, version: 'GEMM' }));
    expect(await value(awq)).toBe(0);
  });

  const unreadable: [string, (tensors: Tensors) => void, Config | undefined, string, RegExp][] = [
    ['5 bits', gptqParts, { quant_method: 'gptq', bits: 5 }, 'PARE_QUANTIZATION_UNSUPPORTED', /quantization_config\.bits is 5/],
    ['planar bits', gptqParts, { quant_method: 'gptq', checkpoint_format: 'gptq_p' }, 'PARE_QUANTIZATION_UNSUPPORTED', /checkpoint_format is "gptq_p"/],
    ['another AWQ layout', awqParts, { quant_method: 'awq', version: 'gemv' }, 'PARE_QUANTIZATION_UNSUPPORTED', /version is "gemv"/],
    ['another group size', gptqParts, { quant_method: 'gptq', bits: 4, group_size: 16 }, 'PARE_MODEL_TENSOR_SHAPE', /q_proj\.qzeros/],
    ['no account', gptqParts, undefined, 'PARE_QUANTIZATION_UNSUPPORTED', /without an account of "model\.layers\.0\.self_attn\.q_proj"/],
    ['a pattern that JavaScript lacks', gptqParts, { quant_method: 'gptq', dynamic: { '+:(?>a)': {} } }, 'PARE_QUANTIZATION_UNSUPPORTED', /dynamic is/],
  ];
  it.each(unreadable)('refuse %s, by name', async (name, parts, config, code, message) => {
    expect(await failure(openModel(await write(`unreadable ${name}`, parts, config), { architectures }))).toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});

describe('overlayModel', () => {
  const quantized = (rows: number, columns: number): QuantizedWeight => ({
    form: 'quantized',
    shape: [rows, columns],
    scheme: { bits: 4, symmetric: true, granularity: 'channel', groupSize: columns },
    codes: Uint8Array.from({ length: rows * columns }, (_, at) => at % 16),
    scales: new Float32Array(rows).fill(0.5),
    scaleType: 'float32',
    zeros: undefined,
    groupIndex: undefined,
  });

  it('shows replaced weights in every view and the base elsewhere', async () => {
    await using base = await openModel(join(fixtures, 'llama'), { architectures });
    const weight = quantized(64, 64);
    const storedBits = 4 * 4096 + 32 * 64;
    const model = overlayModel(base, new Map([[q, () => Promise.resolve(weight)]]), new Map([[q, { produces: 'quantized', storedBits }]]));
    expect(await model.weight(q)).toBe(weight);
    expect((await model.denseWeight(q)).data).toEqual(dequantize(weight));
    expect((await model.tensor(`${q}.weight`)).data).toEqual(dequantize(weight));
    expect(model.modules.filter(({ form }) => form === 'quantized').map(({ name }) => name)).toEqual([q]);
    expect(model.bytes).toBe(base.bytes - 4 * 4096 + storedBits / 8);
    expect(model.parameters).toBe(base.parameters);
    expect(await model.tensor('model.norm.weight')).toEqual(await base.tensor('model.norm.weight'));
    expect((await failure(model.weight('nothing'))).code).toBe('PARE_MODULE_UNKNOWN');
    expect(() => overlayModel(base, new Map([['nothing', () => Promise.resolve(weight)]]))).toThrow(/no module "nothing"/);
    const again = overlayModel(model, new Map([[q, () => Promise.resolve(weight)]]), new Map([[q, { produces: 'quantized', storedBits: 8 }]]));
    expect(again.bytes).toBe(base.bytes - 4 * 4096 + 1);
    await model[Symbol.asyncDispose]();
    expect((await base.tensor('model.norm.weight')).shape).toEqual([64]);
  });

  it('keeps the stored layout and type of a replaced Conv1D', async () => {
    const name = 'transformer.h.0.attn.c_attn';
    await using base = await openModel(join(fixtures, 'gpt2'), { architectures });
    const values = Float32Array.from({ length: 192 * 64 }, (_, at) => at);
    const model = overlayModel(
      base,
      new Map([[name, () => Promise.resolve({ form: 'dense', shape: [192, 64], tensor: float32Tensor([192, 64], values) } as const)]]),
    );
    const stored = await model.tensor(`${name}.weight`);
    expect(stored.shape).toEqual([64, 192]);
    expect(stored.data[1]).toBe(64);
    const dense = await model.denseWeight(name);
    expect(dense.data).toEqual(values);
    dense.data[0] = 99;
    expect(values[0]).toBe(0);
  });

  it('follows a tied head to a replaced embedding, and unties a replaced head', async () => {
    await using base = await openModel(join(fixtures, 'llama-tied-rope-scaled'), { architectures });
    const weight = quantized(160, 64);
    const embedded = overlayModel(base, new Map([['model.embed_tokens', () => Promise.resolve(weight)]]));
    expect((await embedded.denseWeight('lm_head')).data).toEqual(dequantize(weight));
    expect((await embedded.tensor('lm_head.weight')).data).toEqual(dequantize(weight));
    expect(embedded.description.head.tied).toBe(true);

    const headed = overlayModel(base, new Map([['lm_head', () => Promise.resolve(weight)]]));
    expect(headed.description.head.tied).toBe(false);
    expect(headed.config['tie_word_embeddings']).toBe(false);
    expect(headed.modules.at(-1)).toMatchObject({ sharedWith: undefined, form: 'quantized' });
    expect(headed.parameters).toBe(base.parameters + 160 * 64);
    expect(headed.has('lm_head.weight')).toBe(true);
    expect((await headed.tensor('lm_head.weight')).data).toEqual(dequantize(weight));
    expect(await headed.denseWeight('model.embed_tokens')).toEqual(await base.denseWeight('model.embed_tokens'));
  });
});

describe('configText', () => {
  it('keeps the spelling of numbers, and changes and removes keys', async () => {
    const path = join(folder, 'spelling');
    await mkdir(path);
    const text = '{"a": 30.0, "b": [1e-05, 1E5, -0.0, 7], "c": {"d": 2.50, "e": "3.0 \\" 4.0"}, "f": 1.0, "g": 8.0, "h": true}';
    await writeFile(join(path, 'config.json'), text);
    const config = JSON.parse(text) as Config;
    const written = await configText({ directory: path, files: defaultFiles, config: { ...config, g: 9 } }, { f: undefined, h: { i: 1 } });
    expect(written.replace(/\n */g, '')).toBe('{"a": 30.0,"b": [1e-05,1E5,-0.0,7],"c": {"d": 2.50,"e": "3.0 \\" 4.0"},"g": 9,"h": {"i": 1}}');
    expect(JSON.parse(written)).toEqual({ ...config, g: 9, h: { i: 1 }, f: undefined });
  });
});

describe('companion files', () => {
  it.each([
    'tokenizer.json',
    'tokenizer_config.json',
    'tokenizer.model',
    'merges.txt',
    'vocab.json',
    'chat_template.jinja',
    'generation_config.json',
    'LICENSE',
    'LICENSE.txt',
    'Notice',
  ])('%s goes along', (name) => {
    expect(isCompanionFile(name)).toBe(true);
  });
  it.each([
    'config.json',
    'model.safetensors',
    'model.safetensors.index.json',
    'pytorch_model.bin',
    'README.md',
    'pare.json',
    'golden.safetensors',
    'tokenizer.json.bak',
  ])('%s does not', (name) => {
    expect(isCompanionFile(name)).toBe(false);
  });
});
