import { defineEvaluator, defineTechnique, float32Tensor, noOptions, type Format, type Recipe, type Technique } from '@pare/core';
import type { CompressionResult } from '@pare/runtime';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { dumpFormat, fixtureNames, folderHashes, leakCheckedBackend, memoryText, probeTechnique, readDump, sampleText, startTestHost, tinyModel } from '../index.js';

const calibration = { data: memoryText(sampleText(4000)), samples: 4, sequenceLength: 16 };
const recipe = (...stages: Recipe['stages']): Recipe => ({ version: 1, stages });

describe('compress', () => {
  it('streams through the blocks and writes a verified output', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    await using backend = await leakCheckedBackend();
    const output = folder.join('out');
    const result = await host.compress({ model: folder.model, recipe: recipe({ technique: 'probe' }), calibration, output, formats: ['dump'], backend });

    expect(await readdir(folder.path)).toEqual(['model', 'out']);
    expect((await readdir(output)).sort()).toEqual(['pare.json', 'weights.safetensors']);
    const forms = await readDump(output);
    expect([...forms.values()].filter(({ form }) => form === 'quantized')).toHaveLength(14);
    expect(forms.get('lm_head')?.form).toBe('dense');
    expect(result).toMatchObject({ output, backend: 'reference', restoredBlocks: 0, formats: [{ id: 'dump', verification: { largestDifference: 0 } }] });
    expect(result.stages[0]).toMatchObject({ technique: 'probe', modules: 14, fallbacks: [] });

    // 4 windows of 16 tokens reached every module, and modules with the same input saw the same.
    const reports = new Map(result.stages[0]!.reports.map((report) => [report.module, report]));
    expect([...reports.values()].every(({ details }) => details?.['rows'] === 64)).toBe(true);
    expect(reports.get('model.layers.0.self_attn.q_proj')?.loss).toBe(reports.get('model.layers.0.self_attn.k_proj')?.loss);
    expect(reports.get('model.layers.0.self_attn.q_proj')?.loss).not.toBe(reports.get('model.layers.1.self_attn.q_proj')?.loss);
  });

  it.each(fixtureNames)('compresses %s', async (name) => {
    await using folder = await tinyModel(name);
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    await using backend = await leakCheckedBackend();
    const small = { ...calibration, samples: 1, sequenceLength: 8 };
    const result = await host.compress({ model: folder.model, recipe: recipe({ technique: 'probe' }), calibration: small, output: folder.join('out'), formats: ['dump'], backend });
    expect(result.stages[0]!.modules).toBeGreaterThan(6);
  });

  it('records the run in pare.json without anything that differs from run to run', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [{ plugin: probeTechnique(), package: 'pare-probe', version: '4.5.6' }] });
    const request = { model: folder.model, recipe: recipe({ technique: 'probe', options: { bits: 3 } }), calibration, formats: ['dump'], backend: 'reference', seed: 5 };
    const { manifest } = await host.compress({ ...request, output: folder.join('a') });
    await host.compress({ ...request, output: folder.join('b') });
    const text = await readFile(folder.join('a', 'pare.json'), 'utf8');
    expect(text).toBe(await readFile(folder.join('b', 'pare.json'), 'utf8'));
    expect(text).not.toContain(folder.path);
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(manifest)));
    expect(manifest).toMatchObject({
      pare: 1,
      recipe: { version: 1, stages: [{ technique: 'probe', options: { bits: 3, groupSize: -1, symmetric: true, sequential: false } }] },
      seed: 5,
      source: { name: 'model', files: [{ path: 'config.json' }, { path: 'model.safetensors' }] },
      calibration: { data: 'memory', samples: 4, sequenceLength: 16 },
      backend: 'reference',
    });
    expect(manifest.source.files.every(({ sha256 }) => /^[0-9a-f]{64}$/.test(sha256))).toBe(true);
    expect(manifest.plugins).toContainEqual({ id: 'probe', kind: 'technique', package: 'pare-probe', version: '4.5.6' });
    expect(manifest.plugins.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['architecture llama', 'backend reference', 'format dump', 'technique probe']);
    expect(manifest.stages[0]!.modules[0]).toMatchObject({ module: 'model.layers.0.self_attn.q_proj', bits: 3 });
  });

  it('goes step by step, each on top of the ones before, when the technique is sequential', async () => {
    await using folder = await tinyModel('llama');
    const calls: string[][] = [];
    const probe = probeTechnique({ onApply: ({ modules }) => void calls.push(modules.map(({ info }) => info.name.split('.').at(-1)!)) });
    await using host = await startTestHost({ plugins: [probe] });
    const run = async (sequential: boolean): Promise<Map<string, number | undefined>> => {
      const { stages } = await host.compress({
        model: folder.model,
        recipe: recipe({ technique: 'probe', options: { bits: 2, sequential } }),
        calibration,
        output: folder.join(String(sequential)),
        formats: ['dump'],
        backend: 'reference',
      });
      return new Map(stages[0]!.reports.map(({ module, loss }) => [module, loss]));
    };
    const atOnce = await run(false);
    expect(calls).toHaveLength(2);
    calls.length = 0;
    const byStep = await run(true);
    expect(calls.slice(0, 4)).toEqual([['q_proj', 'k_proj', 'v_proj'], ['o_proj'], ['gate_proj', 'up_proj'], ['down_proj']]);
    expect(calls).toHaveLength(8);
    // The first step sees the same inputs either way; the later ones see what the earlier ones became.
    expect(byStep.get('model.layers.0.self_attn.q_proj')).toBe(atOnce.get('model.layers.0.self_attn.q_proj'));
    expect(byStep.get('model.layers.0.self_attn.o_proj')).not.toBe(atOnce.get('model.layers.0.self_attn.o_proj'));
    expect(byStep.get('model.layers.0.mlp.down_proj')).not.toBe(atOnce.get('model.layers.0.mlp.down_proj'));
  });

  it('feeds each block what the compressed blocks before it give', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    const lossOfBlock1 = async (name: string, targets: { include: string[] }): Promise<number | undefined> => {
      const stage = { technique: 'probe', options: { bits: 2 }, targets };
      const { stages } = await host.compress({ model: folder.model, recipe: recipe(stage), calibration, output: folder.join(name), formats: ['dump'], backend: 'reference' });
      return stages[0]!.reports.find(({ module }) => module === 'model.layers.1.self_attn.q_proj')?.loss;
    };
    expect(await lossOfBlock1('alone', { include: ['layers.1.*'] })).not.toBe(await lossOfBlock1('after', { include: ['linear'] }));
  });

  it('runs stages in order, each over what the ones before left', async () => {
    await using folder = await tinyModel('llama');
    const seen: string[] = [];
    const second = probeTechnique({
      id: 'second',
      scope: 'tensor',
      accepts: ['quantized'],
      onApply: async ({ modules, model }) => {
        for (const module of modules) seen.push(`${module.info.name} ${(await module.form()).form} ${(await model.weight('model.layers.0.self_attn.q_proj')).form}`);
      },
    });
    await using host = await startTestHost({ plugins: [probeTechnique(), second] });
    await host.compress({
      model: folder.model,
      recipe: recipe({ technique: 'probe', options: { bits: 8 } }, { technique: 'second', options: { bits: 3 }, targets: { include: ['down_proj'] } }),
      calibration,
      output: folder.join('out'),
      formats: ['dump'],
      backend: 'reference',
    });
    expect(seen).toEqual(['model.layers.0.mlp.down_proj quantized quantized', 'model.layers.1.mlp.down_proj quantized quantized']);
    const forms = await readDump(folder.join('out'));
    expect(forms.get('model.layers.0.mlp.down_proj')).toMatchObject({ scheme: { bits: 3 } });
    expect(forms.get('model.layers.0.mlp.up_proj')).toMatchObject({ scheme: { bits: 8 } });
  });

  it('gives modules the options of their overrides', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'tensor' })] });
    const overrides = [
      { match: 'layers.0.*', options: { bits: 8 } },
      { match: 'q_proj', options: { bits: 6, groupSize: 32 } },
    ];
    await host.compress({ model: folder.model, recipe: recipe({ technique: 'probe', overrides }), output: folder.join('out'), formats: ['dump'], backend: 'reference' });
    const forms = await readDump(folder.join('out'));
    const bits = (name: string): unknown => (forms.get(`model.layers.${name}`) as { scheme: unknown }).scheme;
    expect(bits('0.mlp.up_proj')).toMatchObject({ bits: 8, granularity: 'channel' });
    expect(bits('0.self_attn.q_proj')).toMatchObject({ bits: 6, groupSize: 32 });
    expect(bits('1.mlp.up_proj')).toMatchObject({ bits: 4 });
  });

  it('takes the embedding in tensor scope, and a tied head with it', async () => {
    await using folder = await tinyModel('llama-tied-rope-scaled');
    await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'tensor' })] });
    const stage = { technique: 'probe', options: { bits: 8 }, targets: { include: ['embedding', 'head', 'linear'] } };
    await host.compress({ model: folder.model, recipe: recipe(stage), output: folder.join('out'), formats: ['dump'], backend: 'reference' });
    const forms = await readDump(folder.join('out'));
    expect(forms.get('model.embed_tokens')?.form).toBe('quantized');
    expect(forms.get('lm_head')).toMatchObject({ form: 'shared', with: 'model.embed_tokens' });
  });

  it('needs no data for data-free recipes, and goes no further than the last target', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique(), probeTechnique({ id: 'free', scope: 'tensor' })] });
    await host.compress({ model: folder.model, recipe: recipe({ technique: 'free' }), output: folder.join('free'), formats: ['dump'], backend: 'null' });
    await host.compress({
      model: folder.model,
      recipe: recipe({ technique: 'probe', targets: { include: ['layers.0.*'] } }),
      calibration,
      output: folder.join('first'),
      formats: ['dump'],
      backend: 'reference',
    });
    const passes = host.recorded.flatMap(({ event, data }) => (event === 'progress' && data.task === 'stage 1 (probe)' ? [data.detail] : []));
    expect(new Set(passes)).toEqual(new Set(['embedding', 'calibrating block 0']));
  });

  it('writes the same bytes when hidden states wait on disk', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    await using backend = await leakCheckedBackend();
    const request = { model: folder.model, recipe: recipe({ technique: 'probe' }), calibration, formats: ['dump'], backend };
    const { smallestMemoryBytes, hiddenStates } = await host.plan(request);
    expect(hiddenStates.spilled).toBe(false);
    expect((await host.plan({ ...request, memory: smallestMemoryBytes })).hiddenStates.spilled).toBe(true);
    await host.compress({ ...request, output: folder.join('memory') });
    await host.compress({ ...request, output: folder.join('disk'), memory: smallestMemoryBytes });
    expect(await folderHashes(folder.join('disk'))).toEqual(await folderHashes(folder.join('memory')));
  });

  it('tells what it does, in order', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique()], memoryIntervalSeconds: 60 });
    await host.compress({ model: folder.model, recipe: recipe({ technique: 'probe' }), calibration, output: folder.join('out'), formats: ['dump'], backend: 'reference' });
    const names = host.recorded.map(({ event }) => event).filter((event) => event !== 'progress' && event !== 'module:done');
    expect(names).toEqual(['run:start', 'stage:start', 'block:start', 'block:done', 'block:start', 'block:done', 'stage:done', 'format:start', 'format:done', 'memory']);
    expect(host.recorded.filter(({ event }) => event === 'module:done')).toHaveLength(14);
    const memory = host.recorded.find(({ event }) => event === 'memory')!.data as { residentBytes: number; peakResidentBytes: number };
    expect(memory.peakResidentBytes).toBeGreaterThanOrEqual(memory.residentBytes);
  });

  it('survives a listener that throws', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'tensor' })] });
    host.events.on('block:done', () => {
      throw new Error('display crashed');
    });
    await host.compress({ model: folder.model, recipe: recipe({ technique: 'probe' }), output: folder.join('out'), formats: ['dump'], backend: 'reference' });
    expect(host.log).toContain('error a listener of "block:done" threw: display crashed');
  });
});

describe('evaluation before and after', () => {
  const forms = defineEvaluator({
    id: 'forms',
    api: 1,
    title: 'Forms',
    summary: 'counts quantized modules',
    options: noOptions,
    data: 'none',
    metrics: [{ name: 'quantized', unit: 'modules', direction: 'neutral', summary: 'quantized modules' }],
    evaluate: ({ model }) => Promise.resolve({ metrics: { quantized: model.modules.filter(({ form }) => form === 'quantized').length } }),
  });
  const compress = async (formats: readonly Format[]): Promise<{ result: CompressionResult; warnings: readonly unknown[] }> => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'tensor' }), forms, formats] });
    const result = await host.compress({
      model: folder.model,
      recipe: recipe({ technique: 'probe' }),
      output: folder.join('out'),
      formats: formats.map(({ id }) => id),
      backend: 'null',
      evaluate: { evaluators: ['forms'] },
    });
    return { result, warnings: host.recorded.flatMap(({ event, data }) => (event === 'warning' ? [data.message] : [])) };
  };

  it('looks at the model in memory where nothing that opens was written', async () => {
    const { result, warnings } = await compress([{ ...dumpFormat, id: 'plain' }]);
    expect(result).toMatchObject({ metricsBefore: { quantized: 0 }, metrics: { quantized: 14 }, manifest: { metrics: { before: { quantized: 0 }, after: { quantized: 14 } } } });
    expect(result.evaluationSeconds).toBeLessThanOrEqual(result.seconds);
    expect(warnings).toEqual([]);
  });

  it('gives the source as the original after, and leaves out before what needs one', async () => {
    const lost = defineEvaluator({
      ...forms,
      id: 'lost',
      original: 'required',
      metrics: [{ name: 'lost', unit: 'modules', direction: 'lower', summary: 'modules that are not dense any more' }],
      evaluate: ({ model, original }) => {
        const dense = (of: typeof model): number => of.modules.filter(({ form }) => form === 'dense').length;
        return Promise.resolve({ metrics: { lost: dense(original!) - dense(model) } });
      },
    });
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [probeTechnique({ scope: 'tensor' }), forms, lost] });
    const request = { model: folder.model, recipe: recipe({ technique: 'probe' }), output: folder.join('out'), formats: ['dump'], backend: 'null' };
    const { metricsBefore, metrics } = await host.compress({ ...request, evaluate: { evaluators: ['lost', 'forms'] } });
    expect({ metricsBefore, metrics }).toEqual({ metricsBefore: { quantized: 0 }, metrics: { lost: 14, quantized: 14 } });
  });

  it('says so where what was written is for other programs only', async () => {
    const opaque: typeof dumpFormat = {
      ...dumpFormat,
      id: 'opaque',
      async write(context) {
        await writeFile(`${context.directory}/config.json`, '{"model_type":"of-another-world"}');
        return dumpFormat.write(context);
      },
    };
    const { result, warnings } = await compress([opaque]);
    expect(result.metrics).toEqual({ quantized: 14 });
    expect(warnings).toEqual([expect.stringContaining('of-another-world')]);
  });
});

describe('a technique that misbehaves', () => {
  const misbehaving = (apply: Technique['apply']): Technique =>
    defineTechnique({ ...probeTechnique({ scope: 'tensor' }), id: 'bad', apply: apply as never });
  const failure = async (apply: Technique['apply']): Promise<{ code: string; message: string; place: object; cause: unknown }> => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [misbehaving(apply)] });
    const error: unknown = await host
      .compress({ model: folder.model, recipe: recipe({ technique: 'bad' }), output: folder.join('out'), formats: ['dump'], backend: 'reference' })
      .catch((thrown: unknown) => thrown);
    expect(await readdir(folder.path)).toEqual(['model']);
    return error as { code: string; message: string; place: object; cause: unknown };
  };
  const place = { plugin: 'technique "bad"', stage: 'stage 1 (bad)' };

  it('is named when it throws, with the cause kept', async () => {
    const cause = new TypeError('undefined is not a matrix');
    expect(await failure(() => Promise.reject(cause))).toMatchObject({
      code: 'PARE_PLUGIN_FAILED',
      message: 'technique "bad" failed while working on block 0: TypeError: undefined is not a matrix',
      place,
      cause,
    });
  });

  it('is named when it leaves a module out', async () => {
    expect(await failure(() => Promise.resolve())).toMatchObject({ code: 'PARE_RESULT_INVALID', message: expect.stringContaining('nothing was handed in') as string, place });
  });

  it('is named when a result does not fit the module', async () => {
    const error = await failure(async ({ modules }) => {
      await modules[0]!.replace({ form: 'dense', shape: [1, 1], tensor: float32Tensor([1, 1]) });
    });
    expect(error).toMatchObject({ code: 'PARE_RESULT_INVALID', message: expect.stringContaining('it is dense; the technique declares quantized') as string });
  });

  it('is named when it hands in two results, or asks for what it did not declare', async () => {
    expect(
      await failure(async ({ modules: [module] }) => {
        const form = { form: 'quantized', shape: module!.info.shape, scheme: { bits: 8, symmetric: true, granularity: 'channel', groupSize: module!.info.shape[1] } } as const;
        const whole = { ...form, codes: new Uint8Array(module!.info.shape[0] * module!.info.shape[1]), scales: new Float32Array(module!.info.shape[0]), scaleType: 'float32', zeros: undefined, groupIndex: undefined } as const;
        await module!.replace(whole);
        await module!.replace(whole);
      }),
    ).toMatchObject({ code: 'PARE_RESULT_INVALID', message: expect.stringContaining('a second result') as string });
    expect(
      await failure(async ({ modules: [module] }) => {
        await module!.statistic({ $$type: '@pare/statistic', id: 'fisher' });
      }),
    ).toMatchObject({ code: 'PARE_STATISTIC_UNDECLARED', message: expect.stringContaining('"fisher"') as string });
  });
});
