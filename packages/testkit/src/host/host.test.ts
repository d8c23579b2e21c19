import { defineBackend, defineEvaluator, defineTechnique, noOptions, provide, serviceRef, type Plugin } from '@pare/core';
import { createHost, type CompressionPlan, type HostPluginEntry } from '@pare/runtime';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fixtures, memoryText, openFixture, probeTechnique, startTestHost, temporaryDirectory, tinyModel } from '../index.js';

const greetingRef = serviceRef<string>('test.greeting');

describe('createHost', () => {
  it('reports all problems of plugins and services in one error', async () => {
    const needy = defineTechnique({ ...probeTechnique(), id: 'needy', deps: { greeting: greetingRef } });
    const a = serviceRef<string>('test.a');
    const error: unknown = await createHost({
      plugins: [probeTechnique(), probeTechnique(), needy, { id: 'untagged' } as never, 'pare-not-installed'],
      services: [provide(a, { a }, () => '')],
    }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'PARE_PLUGINS_INVALID' });
    const { problems } = (error as { data: { problems: { path: string }[] } }).data;
    expect(problems.map(({ path }) => path)).toEqual(['plugins[1]', 'plugins[2].deps.greeting', 'plugins[3]', 'plugins[4] (pare-not-installed)', 'services["test.a"].deps']);
    expect((error as Error).message).toMatch(/^5 problem\(s\) with plugins:\n {2}plugins\[1\]: found technique id "probe", which plugins\[0\]/);
  });

  it('gives plugins the services they ask for, and closes them at the end', async () => {
    const log: string[] = [];
    const evaluator = defineEvaluator({
      id: 'greeter',
      api: 1,
      title: 'Greeter',
      summary: 'greets',
      options: noOptions,
      deps: { greeting: greetingRef },
      data: 'none',
      metrics: [{ name: 'length', unit: '', direction: 'neutral', summary: 'length of the greeting' }],
      evaluate: ({ services, log: logger }) => {
        logger.info(services.greeting);
        return Promise.resolve({ metrics: { length: services.greeting.length } });
      },
    });
    await using folder = await tinyModel('llama');
    const host = await startTestHost({ plugins: [evaluator], services: [provide(greetingRef, {}, () => 'hello', () => void log.push('closed'))] });
    const report = await host.evaluate({ model: folder.model, evaluators: ['greeter'], backend: 'null' });
    expect(report).toMatchObject({ model: folder.model, backend: 'null', metrics: { length: 5 } });
    expect(host.log).toContain('info greeter: hello');
    expect(await host.service(greetingRef)).toBe('hello');
    expect(host.explain()).toMatch(/^host [\d.]+ ms\n {2}validate .*\n(.*\n)*plugins\n {2}architecture llama @pare\/testkit@0\.1\.0 from plugins\[0\] \(@pare\/testkit\)\[0\]\n(.*\n)*services\n(.*\n)* {2}test\.greeting [\d.]+ ms/);
    await host.close();
    await host.close();
    expect(log).toEqual(['closed']);
    await expect(host.service(greetingRef)).rejects.toMatchObject({ code: 'PARE_HOST_CLOSED' });
  });

  it('touches no device and loads no model library', async () => {
    const touched: string[] = [];
    const backend = defineBackend({
      id: 'shy',
      api: 1,
      title: 'Shy',
      summary: 's',
      options: noOptions,
      score: () => {
        touched.push('score');
        return Promise.resolve({ score: 200, reason: 'here' });
      },
      create: () => Promise.reject(new Error('not now')),
    });
    await using host = await startTestHost({ plugins: [backend] });
    host.recipeJsonSchema();
    expect(touched).toEqual([]);
    expect((await host.backends()).map(({ id, score, chosen }) => [id, score, chosen])).toEqual([
      ['shy', 200, true],
      ['reference', 1, false],
      ['null', 0, false],
    ]);
  });

  it('finds plugins by kind and id', async () => {
    await using host = await startTestHost({ plugins: [{ plugin: probeTechnique(), package: 'pare-probe', version: '1.0.0' } satisfies HostPluginEntry] });
    expect(host.plugin('technique', 'probe')).toMatchObject({ id: 'probe', package: 'pare-probe', version: '1.0.0' });
    expect(() => host.plugin('technique', 'prob')).toThrowError(expect.objectContaining({ code: 'PARE_PLUGIN_UNKNOWN' }) as Error);
    expect(() => host.plugin('backend', 'probe')).toThrow('no backend is called "probe"');
  });
});

describe('inspect', () => {
  it('describes a model without reading weights', async () => {
    await using host = await startTestHost();
    const inspection = await host.inspect(fixtures.model('qwen3_moe'));
    expect(inspection).toMatchObject({ modelType: 'qwen3_moe', blocks: 2, hiddenSize: 64, vocabularySize: 160, manifest: undefined });
    expect(inspection.modules.some(({ kind }) => kind === 'router')).toBe(true);
  });

  it('takes an open model and leaves it open', async () => {
    await using host = await startTestHost();
    await using model = await openFixture('llama');
    expect((await host.inspect(model)).parameters).toBe(model.parameters);
    expect((await model.denseWeight('model.layers.0.self_attn.q_proj')).shape).toEqual([64, 64]);
  });
});

describe('plan', () => {
  it('says what a recipe will do, and writes nothing', async () => {
    await using folder = await temporaryDirectory();
    await using host = await startTestHost({ plugins: [probeTechnique()], cwd: folder.path });
    const plan = await host.plan({ model: fixtures.model('llama'), recipe: { version: 1, stages: [{ technique: 'probe', options: { groupSize: 32 } }] }, formats: ['dump'], backend: 'reference' });
    const [stage] = plan.stages;
    // Per block: q, o 64×64; k, v 32×64; gate, up 128×64; down 64×128.
    const elements = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64);
    expect(stage).toMatchObject({ technique: 'probe', scope: 'block', statistics: ['gram'], storedBits: elements * 4 + (elements / 32) * 32 });
    expect(stage!.modules).toHaveLength(14);
    expect(plan.outputBytes).toBe(plan.model.bytes - 4 * elements + stage!.storedBits / 8);
    expect(plan.bitsPerWeight).toBeCloseTo((8 * plan.outputBytes) / plan.model.parameters, 10);
    // Calibration was not given: the plan assumes the usual windows.
    expect(plan.calibration).toBeUndefined();
    expect(plan.hiddenStates).toEqual({ bytes: 4 * 128 * 512 * 64, spilled: false });
    expect(plan.seconds).toBeGreaterThan(0);
    expect(plan.peakMemoryBytes).toBeGreaterThanOrEqual(plan.smallestMemoryBytes);
  });

  it('grows with the windows, not with the layers', async () => {
    await using host = await startTestHost({ plugins: [probeTechnique()] });
    const peak = async (samples: number): Promise<number> => {
      const calibration = { data: memoryText('x'), samples, sequenceLength: 64 };
      return (await host.plan({ model: fixtures.model('llama'), recipe: { version: 1, stages: [{ technique: 'probe' }] }, formats: ['dump'], backend: 'reference', calibration })).peakMemoryBytes;
    };
    expect((await peak(200)) - (await peak(100))).toBe(100 * 64 * 64 * 4);
  });

  it('says what runs on the host and takes the rate that a device tells, without opening it', async () => {
    const backend = (rate: number): Plugin =>
      defineBackend({
        id: 'closed',
        api: 1,
        title: 'Closed',
        summary: 'is never opened',
        options: noOptions,
        score: () => Promise.resolve({ score: 0, reason: 'a test', device: { name: 'slow', memoryBytes: undefined, parallelism: undefined, rate: { forward: rate, solver: rate } } }),
        fallbacks: (graph) => graph.nodes.filter(({ operator }) => operator === 'Softmax').map(({ operator, domain, name }) => ({ operator, domain, node: name, reason: 'no kernel' })),
        create: () => Promise.reject(new Error('opened')),
      });
    const plan = async (rate: number): Promise<CompressionPlan> => {
      await using host = await startTestHost({ plugins: [probeTechnique(), backend(rate)] });
      return await host.plan({ model: fixtures.model('llama'), recipe: { version: 1, stages: [{ technique: 'probe' }] }, formats: ['dump'], backend: 'closed' });
    };
    const [slow, fast] = [await plan(1e6), await plan(1e9)];
    expect(slow.backend.fallbacks).toEqual(['Softmax runs on the host: no kernel']);
    expect(slow.seconds / fast.seconds).toBeCloseTo(1000, 6);
  });
});

describe('evaluate', () => {
  const lengths = defineEvaluator({
    id: 'lengths',
    api: 1,
    title: 'Lengths',
    summary: 'counts tokens',
    options: z.strictObject({ samples: z.int().default(3).describe('n'), factor: z.number().default(1).describe('f') }),
    data: 'text',
    metrics: [{ name: 'tokens', unit: '', direction: 'neutral', summary: 'tokens' }],
    async evaluate({ data, tokenizer, options }) {
      return { metrics: { tokens: (await tokenizer()).encode(await data!.text()).length * options.factor + options.samples } };
    },
  });
  // Options decide nothing of what it reads.
  const { readsWith: _, ...plain } = lengths;
  const other = defineEvaluator({ ...plain, id: 'other', options: noOptions, evaluate: () => Promise.resolve({ metrics: { tokens: -1 } }) });

  it('hands options down from the request to the evaluators that have them', async () => {
    await using folder = await tinyModel('llama');
    await using host = await startTestHost({ plugins: [lengths, other] });
    const report = await host.evaluate({
      model: folder.model,
      evaluators: ['lengths', { id: 'other' }],
      data: memoryText('zzzz'),
      commonOptions: { samples: 100, sequenceLength: 5 },
      set: ['lengths.factor=10'],
      backend: 'null',
    });
    expect(report.metrics).toEqual({ tokens: 140, 'other.tokens': -1 });
    expect(report.evaluations[0]!.options).toEqual({ samples: 100, factor: 10 });
    expect(host.recorded.map(({ event }) => event)).toEqual(['evaluation:start', 'evaluation:done', 'evaluation:start', 'evaluation:done']);
  });

  it('hands each evaluator the data it reads and the original where it compares', async () => {
    await using folder = await tinyModel('llama');
    const seen: unknown[] = [];
    const witness = (id: string, data: 'text' | 'items' | 'none', original?: 'required' | 'optional'): Plugin =>
      defineEvaluator({
        ...other,
        id,
        data,
        original,
        evaluate: (context) => {
          seen.push([id, context.data?.name, context.original?.directory]);
          return Promise.resolve({ metrics: {} });
        },
      });
    await using host = await startTestHost({ plugins: [witness('a', 'text'), witness('b', 'items', 'optional'), witness('c', 'none', 'required')] });
    const request = { model: folder.model, data: memoryText('x', 'prose'), items: memoryText('{}', 'quiz'), backend: 'null' };
    await host.evaluate({ ...request, evaluators: ['a', 'b', 'c'], original: fixtures.model('llama') });
    expect(seen.splice(0)).toEqual([
      ['a', 'prose', undefined],
      ['b', 'quiz', fixtures.model('llama')],
      ['c', undefined, fixtures.model('llama')],
    ]);
    await host.evaluate({ ...request, evaluators: ['b'] });
    expect(seen).toEqual([['b', 'quiz', undefined]]);
    await expect(host.evaluate({ ...request, evaluators: ['b', 'c'] })).rejects.toMatchObject({ code: 'PARE_ORIGINAL_MISSING', help: expect.stringContaining('--original') as string });
    await expect(host.evaluate({ ...request, evaluators: ['c'], original: 'nowhere' })).rejects.toMatchObject({ code: expect.stringMatching(/^PARE_/) as string });
    expect(seen).toHaveLength(1);
  });

  it('names an evaluator that fails or reports what it did not declare', async () => {
    await using folder = await tinyModel('llama');
    const stray = defineEvaluator({ ...other, evaluate: () => Promise.resolve({ metrics: { words: 1 } }) });
    const failing = defineEvaluator({ ...other, id: 'failing', evaluate: () => Promise.reject(new Error('out of ideas')) });
    await using host = await startTestHost({ plugins: [stray, failing] });
    const request = { model: folder.model, data: memoryText('x'), backend: 'null' };
    await expect(host.evaluate({ ...request, evaluators: ['other'] })).rejects.toThrow('metric "words" is not among the declared tokens');
    await expect(host.evaluate({ ...request, evaluators: ['failing'] })).rejects.toThrow('evaluator "failing" failed while evaluating');
    await expect(host.evaluate({ ...request, evaluators: ['failing'], signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});
