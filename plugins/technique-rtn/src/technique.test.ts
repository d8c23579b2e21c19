import {
  createRandom,
  optionsJsonSchema,
  type Backend,
  type Model,
  type ModuleHandle,
  type ModuleInfo,
  type ModuleReport,
  type QuantizedWeight,
  type TechniqueContext,
  type WeightForm,
  type WorkFolder,
} from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { dequantize, quantizeMatrix, squaredError, storedBits } from '@pare/weights';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import pluginDefault, { rtn, rtnOptions, type RtnOptions } from './index.js';

function info(name: string, shape: readonly [number, number], changes: Partial<ModuleInfo> = {}): ModuleInfo {
  return {
    name,
    kind: 'linear',
    role: 'mlp.up',
    block: 0,
    expert: undefined,
    step: 0,
    shape,
    layout: 'out-in',
    dtype: 'float32',
    bias: false,
    sharedWith: undefined,
    form: 'dense',
    ...changes,
  };
}

interface TestModule {
  readonly info: ModuleInfo;
  readonly options: RtnOptions;
  readonly weight: Float32Array;
}

function options(changes: Partial<RtnOptions> = {}): RtnOptions {
  return rtnOptions.parse(changes);
}

function randomWeight(count: number, seed = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random() + random() - 1);
}

async function apply(modules: readonly TestModule[], signal = new AbortController().signal) {
  const results = new Map<string, { form: QuantizedWeight; report: ModuleReport }>();
  const progress: string[] = [];
  const silent = (): void => undefined;
  const handles = modules.map(
    (module): ModuleHandle<RtnOptions> => ({
      info: module.info,
      options: module.options,
      weight: () => Promise.resolve({ dtype: 'float32', shape: module.info.shape, data: module.weight }),
      form: () => Promise.reject(new Error('not needed')),
      statistic: () => Promise.reject(new Error('not declared')),
      replace(form: WeightForm, report = {}) {
        results.set(module.info.name, { form: form as QuantizedWeight, report });
        return Promise.resolve();
      },
    }),
  );
  const context: TechniqueContext<RtnOptions> = {
    log: { debug: silent, info: silent, warn: silent, error: silent },
    signal,
    seed: 0,
    progress: { report: ({ completed, total }) => progress.push(`${String(completed)}/${String(total)}`) },
    backend: {} as Backend,
    services: {},
    model: {} as Model,
    original: {} as Model,
    windows: [],
    modules: handles,
    targets: handles,
    parameters: [],
    prompts: undefined,
    tokenizer: () => Promise.reject(new Error('no tokenizer here')),
    trials: undefined,
    work: {} as WorkFolder,
    block: undefined,
    remove: () => Promise.reject(new Error('no structure')),
  };
  await rtn.apply(context);
  return { results, progress };
}

function golden(name: string): Promise<SafetensorsFile> {
  return SafetensorsFile.open(path.join(import.meta.dirname, '../../../packages/testkit/fixtures/golden', `${name}.safetensors`));
}

describe('rtn', () => {
  it('is exported by name and by default', () => {
    expect(pluginDefault).toBe(rtn);
    expect(rtn).toMatchObject({ $$type: '@pare/technique', id: 'rtn', api: 1, scope: 'tensor', produces: ['quantized', 'sparse', 'factorized'] });
  });

  it.each(['l0_q', 'l5_down'])('equals the golden codes, scales and zeros of %s exactly', async (layer) => {
    await using stats = await golden(`stats_${layer}`);
    await using expected = await golden(`golden_${layer}`);
    const weight = await stats.read('W');
    for (const symmetric of [true, false]) {
      const name = `rtn4_${symmetric ? 'sym' : 'asym'}`;
      const { results } = await apply([
        { info: info('w', weight.shape as [number, number]), options: options({ groupSize: 64, symmetric, scaleType: 'float32' }), weight: weight.data as Float32Array },
      ]);
      const { form } = results.get('w')!;
      expect(form.scales).toEqual((await expected.read(`${name}.scales`)).data);
      const codes = Uint8Array.from((await expected.read(`${name}.codes`)).data as Int8Array, (code) => code + (symmetric ? 8 : 0));
      expect(form.codes).toEqual(codes);
      if (!symmetric) expect(form.zeros).toEqual(Uint8Array.from((await expected.read(`${name}.zeros`)).data as Int8Array));
    }
  });

  it('follows every option', async () => {
    const weight = randomWeight(6 * 64);
    const shape = [6, 64] as const;
    const settings: Partial<RtnOptions>[] = [
      {},
      { bits: 8, granularity: 'channel' },
      { bits: 8, granularity: 'tensor' },
      { groupSize: 16, symmetric: false },
      { groupSize: -1, bits: 3, clip: 'mse' },
      { groupSize: 32, scaleType: 'float16' },
    ];
    const modules = settings.map((changes, index) => ({ info: info(String(index), shape), options: options({ groupSize: 64, ...changes }), weight }));
    const { results, progress } = await apply(modules);
    for (const module of modules) {
      const { form, report } = results.get(module.info.name)!;
      const scaleType = module.options.scaleType === 'auto' ? 'float32' : module.options.scaleType;
      expect(form).toEqual(quantizeMatrix(weight, shape, module.options, scaleType));
      expect(report.loss).toBe(squaredError(weight, form));
    }
    expect(results.get('2')!.form.scales).toHaveLength(1);
    expect(progress).toEqual(['0/6', '1/6', '2/6', '3/6', '4/6', '5/6', '6/6']);
  });

  it('stores scales in the type of the weight by default', async () => {
    const { results } = await apply([{ info: info('a', [2, 128], { dtype: 'bfloat16' }), options: options(), weight: randomWeight(256) }]);
    expect(results.get('a')!.form.scaleType).toBe('bfloat16');
  });

  it('rounds a large matrix in bands to the same result', async () => {
    const shape = [5, 1 << 19] as const;
    const weight = Float32Array.from({ length: shape[0] * shape[1] }, (_, index) => Math.sin(index * 0.7) * (1 + (index % 1013)));
    for (const symmetric of [true, false]) {
      const { results } = await apply([{ info: info('a', shape), options: options({ groupSize: 64, symmetric }), weight }]);
      const whole = quantizeMatrix(weight, shape, { bits: 4, symmetric, groupSize: 64 }, 'float32');
      const { form } = results.get('a')!;
      expect(Buffer.compare(form.codes, whole.codes)).toBe(0);
      expect(form.scales).toEqual(whole.scales);
      expect(form.zeros).toEqual(whole.zeros);
      expect(form.scheme).toEqual(whole.scheme);
    }
  });

  it('stops between modules and between bands when cancelled', async () => {
    const small = { info: info('a', [2, 128]), options: options(), weight: randomWeight(256) };
    await expect(apply([small], AbortSignal.abort())).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    const controller = new AbortController();
    const large = { info: info('b', [8, 1 << 19]), options: options(), weight: new Float32Array(8 << 19) };
    setTimeout(() => controller.abort(), 0);
    await expect(apply([large], controller.signal)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });

  it('refuses weights that are not finite', async () => {
    const weight = randomWeight(256);
    weight[200] = NaN;
    await expect(apply([{ info: info('a', [2, 128]), options: options(), weight }])).rejects.toMatchObject({
      code: 'PARE_WEIGHT_NOT_FINITE',
      place: { module: 'a' },
      data: { index: 200 },
    });
  });

  it('gives 8 bits an error below 1 %', async () => {
    const weight = randomWeight(1024);
    const { results } = await apply([{ info: info('a', [4, 256]), options: options({ bits: 8, groupSize: -1 }), weight }]);
    const { form } = results.get('a')!;
    expect(Math.sqrt(squaredError(weight, form) / weight.reduce((sum, value) => sum + value ** 2, 0))).toBeLessThan(0.01);
    expect(dequantize(form)).toHaveLength(1024);
  });
});

describe('planning', () => {
  it('promises the bits that are then stored', async () => {
    for (const changes of [{}, { granularity: 'tensor' as const }, { granularity: 'channel' as const, symmetric: false }, { groupSize: 32, bits: 3, symmetric: false }]) {
      const module = { info: info('a', [6, 128], { dtype: 'float16' }), options: options(changes), weight: randomWeight(768) };
      const [plan] = rtn.plan([module], {} as never);
      const { form } = (await apply([module])).results.get('a')!;
      expect(plan!.storedBits).toBe(storedBits(form));
      expect(plan).toMatchObject({ module: 'a', produces: 'quantized', bits: form.scheme.bits, groupSize: form.scheme.groupSize, groupIndex: false });
    }
  });

  it('refuses a group size that does not divide, with those that do', () => {
    const target = (changes: Partial<RtnOptions>) => ({ info: info('a', [4, 96]), options: options(changes) });
    expect(rtn.check!(target({}))).toBe('groupSize 128 does not divide its 96 inputs; sizes that do: -1, 8, 12, 16, 24, 32, 48, 96');
    expect(rtn.check!(target({ groupSize: 32 }))).toBeUndefined();
    expect(rtn.check!(target({ groupSize: -1 }))).toBeUndefined();
    expect(rtn.check!(target({ granularity: 'tensor' }))).toBeUndefined();
  });
});

describe('options', () => {
  it('have a default and a description each', () => {
    const schema = optionsJsonSchema(rtnOptions) as { properties: Record<string, { description?: string; default?: unknown }> };
    expect(Object.keys(schema.properties)).toEqual(Object.keys(options()));
    for (const property of Object.values(schema.properties)) {
      expect(property.description).toMatch(/\.$/);
      expect(property.default).toBeDefined();
    }
  });

  it.each([{ bits: 1 }, { bits: 9 }, { groupSize: 0 }, { granularity: 'cell' }, { clip: 'kl' }, { scaleType: 'int8' }, { damping: 0.1 }])('refuse %o', (wrong) => {
    expect(rtnOptions.safeParse(wrong).success).toBe(false);
  });
});
