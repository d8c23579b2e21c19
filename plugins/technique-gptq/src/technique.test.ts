import { createRandom, optionsJsonSchema, type QuantizedWeight } from '@pare/core';
import { gramStatistic } from '@pare/model';
import { createColumnSolver, referenceColumnSolver, weightValues, type ColumnSolver, type ResidentSolver } from '@pare/solvers';
import { dequantize, quantizeMatrix, storedBits } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import pluginDefault, { gptq } from './index.js';
import { gptqOptions } from './options.js';
import { gramMatrix, moduleInfo, options, testContext, type TestModule } from './testing.js';

const [rows, size] = [12, 64];

function randomArray(count: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random() + random() - 1);
}

/** XᵀX of random inputs in which neighbours are correlated. */
function correlatedGram(tokens = 128, seed = 1): Float32Array {
  const random = createRandom(seed);
  const gram = new Float32Array(size * size);
  for (let token = 0; token < tokens; token++) {
    const x = new Float32Array(size);
    for (let i = 0; i < size; i++) x[i] = random() - 0.5 + 0.9 * (x[i - 1] ?? 0);
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) gram[i * size + j]! += x[i]! * x[j]!;
  }
  return gram;
}

const shared = gramMatrix(correlatedGram(), 128);

function testModule(name: string, changes: Partial<TestModule> = {}, seed = 7): TestModule {
  return { info: moduleInfo(name, [rows, size]), options: options({ groupSize: 16 }), weight: randomArray(rows * size, seed), gram: shared, ...changes };
}

/** A solver that notes what it is asked for. */
function spy(solver: ColumnSolver = referenceColumnSolver): ColumnSolver & { readonly calls: string[] } {
  const calls: string[] = [];
  return {
    calls,
    factorize(request) {
      calls.push(`factorize damping ${String(request.damping)} actOrder ${String(request.actOrder)} scale ${String(request.scale)}`);
      return solver.factorize(request);
    },
    sweep(request) {
      calls.push(`sweep block ${String(request.blockSize)}`);
      return solver.sweep(request);
    },
    dispose() {
      calls.push('dispose');
      return solver.dispose();
    },
  };
}

async function apply(modules: readonly TestModule[], settings: Parameters<typeof testContext>[1] = { capability: referenceColumnSolver }) {
  const run = testContext(modules, settings);
  await gptq.apply(run.context);
  const form = (name: string): QuantizedWeight => run.results.get(name)!.form as QuantizedWeight;
  return { ...run, form };
}

/** tr(Δ·XᵀX·Δᵀ). */
function outputError(weight: Float32Array, form: QuantizedWeight, gram: Float32Array): number {
  const values = dequantize(form);
  let sum = 0;
  for (let row = 0; row < form.shape[0]; row++) {
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        sum += (weight[row * size + i]! - values[row * size + i]!) * gram[i * size + j]! * (weight[row * size + j]! - values[row * size + j]!);
      }
    }
  }
  return sum;
}

describe('gptq', () => {
  it('is exported by name and by default', () => {
    expect(pluginDefault).toBe(gptq);
    expect(gptq).toMatchObject({ $$type: '@pare/technique', id: 'gptq', api: 1, scope: 'block', produces: ['quantized', 'sparse'] });
  });

  it('wants the Gram matrix, and one step at a time when true-sequential', () => {
    expect(gptq.statistics!(options())).toEqual([gramStatistic]);
    expect(gptq.sequential!(options())).toBe(false);
    expect(gptq.sequential!(options({ trueSequential: true }))).toBe(true);
  });

  it('beats rounding to nearest on the inputs it was calibrated with', async () => {
    const module = testModule('a', { options: options({ groupSize: 16, bits: 3 }) });
    const { form, results } = await apply([module]);
    const rounded = quantizeMatrix(module.weight, [rows, size], { bits: 3, symmetric: true, groupSize: 16 }, 'float32');
    const gram = correlatedGram();
    expect(outputError(module.weight, form('a'), gram)).toBeLessThan(0.7 * outputError(module.weight, rounded, gram));
    // The damped loss is a little more than the plain error of H = 2/N · XᵀX.
    const plain = (outputError(module.weight, form('a'), gram) * 2) / 128;
    expect(results.get('a')!.report.loss).toBeGreaterThan(plain);
    expect(results.get('a')!.report.loss).toBeLessThan(1.3 * plain);
    expect(results.get('a')!.report.details).toEqual({ damping: 0.01, tokens: 128 });
  });

  it('factorizes once for modules that share inputs and options', async () => {
    const other = gramMatrix(correlatedGram(100, 2), 100);
    const solver = spy();
    const modules = [
      testModule('q'),
      testModule('k', { options: options({ groupSize: 32, bits: 8, blockSize: 64 }) }),
      testModule('o', { gram: other }),
      testModule('v', { options: options({ groupSize: 16, damping: 0.05 }) }),
      testModule('u', { options: options({ groupSize: 16, actOrder: false }) }),
    ];
    const { results, events } = await apply(modules, { capability: solver });
    expect(solver.calls).toEqual([
      'factorize damping 0.01 actOrder true scale 0.015625',
      'sweep block 128',
      'sweep block 64',
      'factorize damping 0.05 actOrder true scale 0.015625',
      'sweep block 128',
      'factorize damping 0.01 actOrder false scale 0.015625',
      'sweep block 128',
      'factorize damping 0.01 actOrder true scale 0.02',
      'sweep block 128',
    ]);
    expect([...results.keys()].sort()).toEqual(['k', 'o', 'q', 'u', 'v']);
    expect(events.filter((event) => event.startsWith('progress')).at(-1)).toBe('progress 5/5');
  });

  it('solves where Gram matrices and stored weights lie when the solver can', async () => {
    const factorized: number[] = [];
    let disposed = 0;
    const resident: ResidentSolver = {
      async factorize({ gram, ...request }) {
        factorized.push(request.size);
        const factor = await referenceColumnSolver.factorize({ ...request, gram: (gram as unknown as { values: Float32Array }).values });
        return { ...factor, load: () => Promise.resolve(factor), [Symbol.dispose]: () => void disposed++ };
      },
      sweep: async ({ weight, factor, ...request }) => referenceColumnSolver.sweep({ ...request, weight: weightValues(weight), factor: await factor.load() }),
    };
    const modules = [testModule('q', { gram: gramMatrix(Float32Array.from(correlatedGram()), 128) }), testModule('few', { gram: gramMatrix(Float32Array.from(correlatedGram()), 4) })];
    const run = await apply(modules, { capability: { ...referenceColumnSolver, resident } });
    expect(run.events.filter((event) => !event.startsWith('progress'))).toEqual(['form q', 'replace q', 'weight few', 'replace few']);
    expect(factorized).toEqual([size]);
    expect(disposed).toBe(1);
    const plain = await apply(modules);
    for (const { info } of modules) expect(run.form(info.name)).toEqual(plain.form(info.name));
    // What does not fit the device goes the usual way.
    const refused = await apply(modules, { capability: { ...referenceColumnSolver, resident: { ...resident, factorize: () => Promise.resolve(undefined) } } });
    expect(refused.form('q')).toEqual(plain.form('q'));
  });

  it('gives a module the same result alone and beside others', async () => {
    const modules = [testModule('q'), testModule('k', {}, 8), testModule('v', {}, 9)];
    const together = await apply(modules);
    for (const module of modules) expect((await apply([module])).form(module.info.name)).toEqual(together.form(module.info.name));
  });

  it('brings its own solver when the backend has none, with the same result', async () => {
    const module = testModule('a');
    expect((await apply([module], {})).form('a')).toEqual((await apply([module])).form('a'));
  });

  it('leaves the solver of a backend alive', async () => {
    const solver = spy();
    await apply([testModule('a')], { capability: solver });
    expect(solver.calls).not.toContain('dispose');
  });

  it('loads the next weight while the solver works on the last', async () => {
    const order: string[] = [];
    const run = testContext([testModule('a'), testModule('b')], {
      capability: {
        ...referenceColumnSolver,
        sweep: (request: Parameters<ColumnSolver['sweep']>[0]) => {
          order.push(...run.events.filter((event) => event.startsWith('weight') && !order.includes(event)), 'sweep');
          return referenceColumnSolver.sweep(request);
        },
      },
    });
    await gptq.apply(run.context);
    expect(order).toEqual(['weight a', 'weight b', 'sweep', 'sweep']);
  });

  it.each([0, 5, 31])('rounds to nearest and says so after %s tokens', async (tokens) => {
    const module = testModule('expert', { gram: gramMatrix(tokens === 0 ? new Float32Array(size * size) : correlatedGram(tokens), tokens) });
    const solver = spy();
    const { form, results } = await apply([module], { capability: solver });
    expect(form('expert')).toEqual(quantizeMatrix(module.weight, [rows, size], module.options, 'float32'));
    expect(results.get('expert')!.report.fallback).toMatch(tokens === 0 ? /no calibration token/ : new RegExp(`only ${String(tokens)} calibration tokens.*32`));
    expect(solver.calls).toEqual([]);
  });

  it('accepts fewer tokens when told to', async () => {
    const module = testModule('expert', { gram: gramMatrix(correlatedGram(5), 5), options: options({ groupSize: 16, minimumTokens: 5 }) });
    expect((await apply([module])).results.get('expert')!.report.fallback).toBeUndefined();
  });

  it('stores scales in the type of the weight unless told otherwise', async () => {
    const info = moduleInfo('a', [rows, size], { dtype: 'bfloat16' });
    expect((await apply([testModule('a', { info })])).form('a').scaleType).toBe('bfloat16');
    expect((await apply([testModule('a', { info, options: options({ groupSize: 16, scaleType: 'float16' }) })])).form('a').scaleType).toBe('float16');
    expect((await apply([testModule('a', { info: { ...info, dtype: 'float64' } })])).form('a').scaleType).toBe('float32');
  });

  it('hands every option of the quantizer on', async () => {
    const plain = (await apply([testModule('a')])).form('a');
    for (const changes of [{ bits: 5 }, { groupSize: 32 }, { symmetric: false }, { staticGroups: false }, { actOrder: false }, { clip: 'mse' as const }, { damping: 0.5 }]) {
      const { codes } = (await apply([testModule('a', { options: options({ groupSize: 16, ...changes }) })])).form('a');
      expect(codes, JSON.stringify(changes)).not.toEqual(plain.codes);
    }
    expect((await apply([testModule('a', { options: options({ groupSize: -1 }) })])).form('a').scheme.granularity).toBe('channel');
    expect((await apply([testModule('a', { options: options({ groupSize: 16, staticGroups: false }) })])).form('a').groupIndex).toHaveLength(size);
  });

  it('reports dead inputs and raised damping', async () => {
    const gram = correlatedGram();
    for (let index = 0; index < size; index++) gram[index * size + 3] = gram[3 * size + index] = 0;
    // Columns 10 and 11 claim a correlation above 1, which no damping below 0.02 makes up for.
    gram[10 * size + 10] = gram[11 * size + 11] = 10;
    gram[10 * size + 11] = gram[11 * size + 10] = 10.5;
    const { results, form } = await apply([testModule('a', { gram: gramMatrix(gram, 128), options: options({ groupSize: 16, damping: 0.001, dampingIncrement: 0.01 }) })]);
    const { damping, deadInputs } = results.get('a')!.report.details!;
    expect(deadInputs).toBe(1);
    expect(damping).toBeGreaterThan(0.001);
    const values = dequantize(form('a'));
    for (let row = 0; row < rows; row++) expect(values[row * size + 3]).toBe(0);
  });

  it('refuses statistics and losses that are not finite', async () => {
    const gram = correlatedGram();
    gram[5] = Infinity;
    await expect(apply([testModule('a', { gram: gramMatrix(gram, 128) })])).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE', place: { module: 'a' } });
    const weight = testModule('a').weight;
    weight[9] = NaN;
    await expect(apply([testModule('down', { weight })])).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE', place: { module: 'down' }, data: { index: 9 } });
    const broken = { ...referenceColumnSolver, sweep: async (request: Parameters<ColumnSolver['sweep']>[0]) => ({ ...(await referenceColumnSolver.sweep(request)), loss: NaN }) };
    await expect(apply([testModule('down')], { capability: broken })).rejects.toMatchObject({ code: 'PARE_LOSS_NOT_FINITE', data: { module: 'down' } });
  });

  it('stops between modules when cancelled', async () => {
    const controller = new AbortController();
    const solver = createColumnSolver({ threads: 0 });
    const run = testContext([testModule('a'), testModule('b')], {
      signal: controller.signal,
      capability: {
        ...solver,
        sweep: async (request: Parameters<ColumnSolver['sweep']>[0]) => {
          const result = await solver.sweep(request);
          controller.abort();
          return result;
        },
      },
    });
    await expect(gptq.apply(run.context)).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect([...run.results.keys()]).toEqual(['a']);
    await solver.dispose();
  });
});

describe('planning', () => {
  it('promises the bits that are then stored', async () => {
    for (const changes of [{ groupSize: 16 }, { groupSize: -1 }, { groupSize: 32, symmetric: false }, { groupSize: 16, staticGroups: false }, { groupSize: 16, staticGroups: false, actOrder: false }]) {
      const module = testModule('a', { options: options(changes) });
      const [plan] = gptq.plan([module], {} as never);
      const form = (await apply([module])).form('a');
      expect(plan!.storedBits).toBe(storedBits(form));
      expect(plan!.groupIndex).toBe(form.groupIndex !== undefined);
      expect(plan).toMatchObject({ module: 'a', produces: 'quantized', bits: 4, groupSize: form.scheme.groupSize, symmetric: form.scheme.symmetric });
    }
  });

  it('counts a shared factorization once', () => {
    const plans = gptq.plan([testModule('q'), testModule('k'), testModule('o', { info: moduleInfo('o', [rows, size], { step: 1 }) })], {} as never);
    const factor = (2 / 3) * size ** 3;
    expect(plans.map(({ flops }) => flops)).toEqual([factor + rows * size ** 2, rows * size ** 2, factor + rows * size ** 2]);
  });

  it('refuses a group size that does not divide, with those that do', () => {
    expect(gptq.check!(testModule('a', { options: options({ groupSize: 48 }) }))).toBe('groupSize 48 does not divide its 64 inputs; sizes that do: -1, 8, 16, 32, 64');
    expect(gptq.check!(testModule('a', { options: options({ groupSize: 32 }) }))).toBeUndefined();
    expect(gptq.check!(testModule('a', { options: options({ groupSize: -1 }) }))).toBeUndefined();
  });
});

describe('options', () => {
  it('have a default and a description each', () => {
    const schema = optionsJsonSchema(gptqOptions) as { properties: Record<string, { description?: string; default?: unknown }> };
    expect(Object.keys(schema.properties)).toEqual(Object.keys(options()));
    for (const property of Object.values(schema.properties)) {
      expect(property.description).toMatch(/\.$/);
      expect(property.default).toBeDefined();
    }
  });

  it.each([{ bits: 1 }, { bits: 9 }, { bits: 4.5 }, { groupSize: 0 }, { groupSize: -2 }, { damping: 1 }, { damping: -0.1 }, { blockSize: 0 }, { clip: 'kl' }, { minimumTokens: 0 }, { desc_act: true }])(
    'refuse %o',
    (wrong) => {
      expect(gptqOptions.safeParse(wrong).success).toBe(false);
    },
  );
});
