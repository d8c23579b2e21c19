import { apiVersion, isPareError, optionsJsonSchema, type Backend, type ModulePlan, type ModuleReport, type Technique, type WeightForm } from '@pare/core';
import { denseFloat32, quantizedPart, serializeForm, storedBits, structureProblem, writtenBits } from '@pare/weights';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { awkwardLayers, usualLayers, wellConditionedLayers } from './layer-samples.js';
import { layerInfo, layerSummary, type LayerSample, type TechniqueConformanceOptions } from './technique-subject.js';

/**
 * The suite that every technique must pass: its options describe themselves, its plan keeps its word, its results are valid, finite and the
 * same at every run, it stops when told to, and leaves nothing on the backend. Call it at the top level of a vitest file.
 *
 * It knows no host: `kit.run` applies the technique to plain layers, as `runTechnique` of `@pare/testkit` does.
 */
export function describeTechnique<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>): void {
  const variants: Readonly<Record<string, unknown>> = { defaults: {}, ...kit.variants };
  const layers = kit.layers ?? usualLayers();
  let backend: Backend;

  const validate = async (raw: unknown): Promise<{ readonly value: O } | { readonly problems: readonly string[] }> => {
    const result = await technique.options['~standard'].validate(raw);
    return result.issues === undefined ? { value: result.value } : { problems: result.issues.map((issue) => issue.message) };
  };

  const parse = async (raw: unknown): Promise<O> => {
    const result = await validate(raw);
    if ('value' in result) return result.value;
    throw new Error(`options ${JSON.stringify(raw)} do not fit the schema of ${technique.id}: ${result.problems.join('; ')}`);
  };

  const targetsOf = (samples: Readonly<Record<string, LayerSample>>, options: O) =>
    Object.entries(samples).map(([name, { weight }], step) => ({ info: layerInfo(name, [weight.shape[0]!, weight.shape[1]!], step, kit.kind), options }));

  const planOf = (samples: Readonly<Record<string, LayerSample>>, options: O): readonly ModulePlan[] => {
    const targets = targetsOf(samples, options);
    return technique.plan(targets, kit.summary ?? layerSummary(targets.map(({ info }) => info)));
  };

  const apply = (samples: Readonly<Record<string, LayerSample>>, options: O, settings: { seed?: number; signal?: AbortSignal; backend?: Backend } = {}) =>
    kit.run(technique, {
      options,
      modules: samples,
      backend: settings.backend ?? backend,
      seed: settings.seed ?? 0,
      signal: settings.signal ?? new AbortController().signal,
    });

  /** The layers that `check` accepts; the suite's own must be acceptable, the awkward ones need not. */
  const accepted = (samples: Readonly<Record<string, LayerSample>>, options: O): Readonly<Record<string, LayerSample>> => {
    const targets = new Map(targetsOf(samples, options).map((target) => [target.info.name, target]));
    return Object.fromEntries(Object.entries(samples).filter(([name]) => technique.check?.(targets.get(name)!) === undefined));
  };

  describe(`technique ${technique.id}`, () => {
    beforeEach(async () => {
      backend = await kit.makeBackend();
    });

    afterEach(async () => {
      const { tensors } = backend.memory();
      await backend[Symbol.asyncDispose]();
      if (tensors > 0) {
        throw new Error(
          `${String(tensors)} device tensors are still alive after the test. ` +
            'Dispose in apply what apply makes; a scope (using scope = backend.scope()) does it also when apply throws.',
        );
      }
    });

    it('says who it is', () => {
      expect(technique.id, 'ids are the published name in kebab case').toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(technique.api).toBe(apiVersion);
      expect(technique.title.length).toBeGreaterThan(0);
      expect(technique.summary, 'the summary is one sentence, for lists and help texts').toMatch(/^.{10,}\.$/s);
      expect(technique.accepts.length, 'accepts must name at least one form').toBeGreaterThan(0);
      expect(technique.produces.length, 'produces must name at least one form').toBeGreaterThan(0);
    });

    describe('options', () => {
      it('have a description and a default each, and refuse unknown ones', async () => {
        const schema = optionsJsonSchema(technique.options) as {
          properties?: Record<string, { description?: string; default?: unknown }>;
          additionalProperties?: unknown;
        };
        for (const [name, property] of Object.entries(schema.properties ?? {})) {
          expect(property.description ?? '', `option ${name} needs a description: .describe('…')`).toMatch(/\S/);
          expect(property.default, `option ${name} needs a default: .default(…)`).toBeDefined();
        }
        expect(await validate({ 'no such option': 1 }), 'unknown options must be refused: use z.strictObject').toHaveProperty('problems');
      });

      it('are all optional, and the defaults are those of the JSON schema', async () => {
        const schema = optionsJsonSchema(technique.options) as { properties?: Record<string, { default?: unknown }> };
        const defaults = (await parse({})) as Readonly<Record<string, unknown>>;
        const declared = Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, property]) => [name, property.default]));
        expect(defaults).toEqual(declared);
      });

      it.each(Object.entries(variants))('stay the same when parsed again and through JSON: %s', async (_name, raw) => {
        const options = await parse(raw);
        expect(await parse(options)).toEqual(options);
        expect(await parse(JSON.parse(JSON.stringify(options)))).toEqual(options);
      });

      it.each(Object.entries(kit.invalid ?? {}))('are refused: %s', async (_name, raw) => {
        expect(await validate(raw)).toHaveProperty('problems');
      });

      it.each(Object.entries(kit.refusals ?? {}))('are refused by check before any work: %s', async (_name, { options: raw, shape, says }) => {
        const reason = technique.check?.({ info: layerInfo('layer', shape, 0, kit.kind), options: await parse(raw) });
        expect(reason ?? 'check accepted it').toMatch(says);
      });
    });

    describe.each(Object.entries(variants))('with %s', (variant, raw) => {
      it('accepts the layers', async () => {
        const options = await parse(raw);
        for (const target of targetsOf(layers, options)) {
          const reason = technique.check?.(target);
          expect(
            reason,
            `check refuses ${target.info.name} [${target.info.shape.join(', ')}]; give the suite layers that fit (kit.layers) or another variant`,
          ).toBeUndefined();
        }
      });

      it('plans every layer, twice the same', async () => {
        const options = await parse(raw);
        const plan = planOf(layers, options);
        expect(plan.map(({ module }) => module)).toEqual(Object.keys(layers));
        for (const entry of plan) {
          expect(technique.produces).toContain(entry.produces);
          for (const figure of ['storedBits', 'flops', 'workingBytes'] as const) {
            expect(Number.isFinite(entry[figure]) && entry[figure] >= 0, `${figure} of ${entry.module} is ${String(entry[figure])}`).toBe(true);
          }
        }
        expect(planOf(layers, options)).toEqual(plan);
      });

      it('does what it planned', async () => {
        const options = await parse(raw);
        const plan = planOf(layers, options);
        const results = await apply(layers, options);
        expect([...results.keys()].sort(), 'every module must be replaced once').toEqual(Object.keys(layers).sort());
        for (const entry of plan) {
          const { form, report } = results.get(entry.module)!;
          checkForm(form, layers[entry.module]!, entry.module);
          if (report.fallback === undefined) expect(promiseOf(form)).toEqual(promisedBy(entry, form));
          checkReport(report, entry.module);
        }
      });

      it('gives the same result for the same seed', async () => {
        const options = await parse(raw);
        const first = await apply(layers, options, { seed: 7 });
        const other = await kit.makeBackend();
        try {
          const second = await apply(layers, options, { seed: 7, backend: other });
          for (const [name, { form }] of first) expect(sameForm(form, second.get(name)!.form), `${name} differs between two runs with one seed`).toBe(true);
        } finally {
          await other[Symbol.asyncDispose]();
        }
      });

      it.each(Object.entries(kit.otherBackends ?? {}))('gives on backend %s what it gives on the first', async (_backend, makeOther) => {
        const options = await parse(raw);
        const samples = accepted(wellConditionedLayers(), options);
        const first = await apply(samples, options, { seed: 3 });
        const other = await makeOther();
        try {
          const second = await apply(samples, options, { seed: 3, backend: other });
          for (const [name, { form, report }] of first) {
            const twin = second.get(name)!;
            if (kit.sensitive?.includes(variant) === true) expect(Math.abs(twin.report.loss! / report.loss! - 1), `difference of the losses of ${name}`).toBeLessThan(0.01);
            else expect(agreement(form, twin.form), `share of equal weights of ${name}`).toBeGreaterThanOrEqual(0.995);
          }
          expect(other.memory().tensors, 'device tensors left on the other backend').toBe(0);
        } finally {
          await other[Symbol.asyncDispose]();
        }
      });

      it('takes layers without weight, without signal and with outliers', async () => {
        const options = await parse(raw);
        const width = Object.values(layers)[0]!.weight.shape[1]!;
        const samples = accepted(awkwardLayers(width), options);
        const results = await apply(samples, options);
        for (const [name, sample] of Object.entries(samples)) checkForm(results.get(name)?.form, sample, name);
        const zero = results.get('all weights zero');
        if (zero !== undefined && zero.form.form !== 'shared') {
          expect(
            denseFloat32(zero.form).every((value) => value === 0),
            'a matrix of zeros must stay one',
          ).toBe(true);
        }
      });
    });

    it('does not start when it was cancelled before', async () => {
      const error = await apply(layers, await parse({}), { signal: AbortSignal.abort() }).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(isPareError(error) ? error.code : error, 'call throwIfAborted(signal, …) at least once a module').toBe('PARE_ABORTED');
    });

    it('stops or finishes when it is cancelled on the way', async () => {
      const controller = new AbortController();
      const work = apply(layers, await parse({}), { signal: controller.signal });
      setTimeout(() => {
        controller.abort();
      }, 1);
      const outcome = await work.catch((thrown: unknown) => thrown);
      if (outcome instanceof Error) expect(isPareError(outcome) && outcome.code).toBe('PARE_ABORTED');
    });
  });
}

/** What a plan says about a module, as far as it says it. */
function promisedBy(entry: ModulePlan, form: WeightForm): Record<string, unknown> {
  const kept = promiseOf(form);
  const promised: Record<string, unknown> = { ...kept, form: entry.produces };
  if (entry.estimated !== true) promised['storedBits'] = entry.storedBits;
  for (const name of ['bits', 'groupSize', 'symmetric', 'groupIndex', 'numbers'] as const) if (name in kept && entry[name] !== undefined) promised[name] = entry[name];
  if (form.form === 'factorized' && entry.estimated !== true) promised['rank'] = entry.rank;
  if (form.form === 'sparse') Object.assign(promised, { pattern: entry.sparsity?.pattern, writtenBits: entry.writtenBits });
  return promised;
}

function promiseOf(form: WeightForm): Record<string, unknown> {
  const kept: Record<string, unknown> = { form: form.form, storedBits: storedBits(form) };
  const quantized = quantizedPart(form);
  if (quantized !== undefined) {
    const { bits, groupSize, symmetric, numbers } = quantized.scheme;
    Object.assign(kept, { bits, groupSize, symmetric, groupIndex: quantized.groupIndex !== undefined, ...(numbers === undefined ? {} : { numbers }) });
  }
  if (form.form === 'factorized') kept['rank'] = form.left.shape[1];
  if (form.form === 'sparse') Object.assign(kept, { pattern: form.pattern, writtenBits: writtenBits(form) });
  return kept;
}

/** A form must have its module's shape, agree with itself and stand for finite values. */
function checkForm(form: WeightForm | undefined, layer: LayerSample, name: string): void {
  if (form === undefined) throw new Error(`${name} was not replaced`);
  expect(form.shape, name).toEqual(layer.weight.shape);
  if (form.form === 'shared') return;
  const bad = denseFloat32(form).findIndex((value) => !Number.isFinite(value));
  expect(bad, `${name}: element ${String(bad)} is not finite`).toBe(-1);
  expect(structureProblem(form), name).toBeUndefined();
}

function checkReport(report: ModuleReport, name: string): void {
  for (const [what, value] of [['loss', report.loss ?? 0], ...Object.entries(report.details ?? {})] as const) {
    expect(Number.isFinite(value), `${name}: ${what} is ${String(value)}`).toBe(true);
  }
}

/** Share of the weights that two results have in common, to a thousandth of the largest. */
function agreement(a: WeightForm, b: WeightForm): number {
  if (a.form === 'shared' || b.form === 'shared') return a.form === b.form ? 1 : 0;
  const [first, second] = [denseFloat32(a), denseFloat32(b)];
  const largest = first.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const equal = first.reduce((sum, value, index) => sum + (Math.abs(value - second[index]!) <= 1e-3 * largest ? 1 : 0), 0);
  return equal / first.length;
}

function sameForm(a: WeightForm, b: WeightForm): boolean {
  const [first, second] = [serializeForm(a), serializeForm(b)];
  if (JSON.stringify(first.metadata) !== JSON.stringify(second.metadata)) return false;
  return Object.entries(first.tensors).every(([name, { data }]) => {
    const other = second.tensors[name]?.data;
    return (
      other !== undefined && Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(Buffer.from(other.buffer, other.byteOffset, other.byteLength))
    );
  });
}
