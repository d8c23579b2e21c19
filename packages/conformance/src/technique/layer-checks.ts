import { isPareError, type Backend, type ModulePlan, type Technique } from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import { isDeepStrictEqual } from 'node:util';
import { check, type Check } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { parseOptions } from '../kit/identity-checks.js';
import { checkOnBackend, leakFindings } from '../kit/on-backend.js';
import { agreement, formFindings, planFigureFindings, planTargetFindings, promiseFindings, reportFindings, sameForm } from './form-findings.js';
import { awkwardLayers, usualLayers, wellConditionedLayers } from './layer-samples.js';
import { observedTechnique } from './observed-technique.js';
import { layerInfo, layerSummary, type LayerSample, type TechniqueConformanceOptions, type TechniqueResult } from './technique-subject.js';

type Layers = Readonly<Record<string, LayerSample>>;

/** What can be seen of a technique on a few plain layers, for the defaults and each variant. */
export function layerChecks<O>(technique: Technique<O>, kit: TechniqueConformanceOptions<O>, run: NonNullable<TechniqueConformanceOptions<O>['run']>): Check[] {
  const name = `technique ${technique.id}`;
  const layers = kit.layers ?? usualLayers();
  const names = Object.keys(layers);
  const parse = (raw: unknown): Promise<O> => parseOptions(technique.options, raw);
  const onBackend = (title: string, work: (backend: Backend) => Promise<readonly Finding[]>): Check => checkOnBackend(name, kit.makeBackend, title, work);

  const targetsOf = (samples: Layers, options: O) => Object.entries(samples).map(([layer, { weight }], step) => ({ info: layerInfo(layer, [weight.shape[0]!, weight.shape[1]!], step, kit.kind), options }));
  const planOf = (options: O): readonly ModulePlan[] => {
    const targets = targetsOf(layers, options);
    return technique.plan(targets, kit.summary ?? layerSummary(targets.map(({ info }) => info)));
  };
  const apply = (samples: Layers, options: O, backend: Backend, settings: { seed?: number; signal?: AbortSignal; technique?: Technique<O> } = {}): Promise<ReadonlyMap<string, TechniqueResult>> =>
    run(settings.technique ?? technique, { options, modules: samples, backend, seed: settings.seed ?? 0, signal: settings.signal ?? new AbortController().signal });
  /** The layers that `check` accepts; the suite's own must be acceptable, the awkward ones need not. */
  const accepted = (samples: Layers, options: O): Layers => Object.fromEntries(targetsOf(samples, options).flatMap((target) => (technique.check?.(target) === undefined ? [[target.info.name, samples[target.info.name]!]] : [])));

  const variantChecks = (variant: string, raw: unknown): Check[] => [
    check(`accepts the layers, with ${variant}`, async () => {
      const options = await parse(raw);
      return targetsOf(layers, options).flatMap(({ info }) => {
        const reason = technique.check?.({ info, options });
        return reason === undefined ? [] : [{ fault: `${name} refuses the layers it is tried on`, expected: 'layers that fit', found: `${info.name} [${info.shape.join(', ')}]: ${reason}`, advice: 'give the suite layers that fit (kit.layers), or another variant' }];
      });
    }),
    check(`plans every layer, twice the same, with ${variant}`, async () => {
      const options = await parse(raw);
      const plan = planOf(options);
      const again: Finding[] = isDeepStrictEqual(planOf(options), plan) ? [] : [{ fault: `${name} plans differently the second time`, expected: 'the same plan from the same shapes and options', found: 'another', advice: 'plan must keep no state and draw no random numbers' }];
      return [...planTargetFindings(name, plan, names), ...planFigureFindings(name, plan, technique.produces), ...again];
    }),
    onBackend(`does what it planned, with ${variant}`, async (backend) => {
      const options = await parse(raw);
      const plans = new Map(planOf(options).map((entry) => [entry.module, entry]));
      const results = await apply(layers, options, backend);
      const foreign = [...results.keys()].filter((module) => !names.includes(module));
      const findings: Finding[] = foreign.length === 0 ? [] : [{ fault: `${name} writes outside its targets`, expected: `results for ${names.join(', ')}`, found: `a result for ${foreign.join(', ')}`, advice: 'replace only the modules of context.modules' }];
      for (const [module, { weight }] of Object.entries(layers)) {
        const result = results.get(module);
        const entry = plans.get(module);
        findings.push(...formFindings(name, module, result?.form, weight.shape));
        if (result === undefined) continue;
        findings.push(...reportFindings(name, module, result.report));
        if (entry !== undefined && result.report.fallback === undefined) findings.push(...promiseFindings(name, entry, result.form));
      }
      return findings;
    }),
    onBackend(`gives the same result for the same seed, with ${variant}`, async (backend) => {
      const options = await parse(raw);
      const first = await apply(layers, options, backend, { seed: 7 });
      const other = await kit.makeBackend();
      try {
        const second = await apply(layers, options, other, { seed: 7 });
        return [...first].flatMap(([module, { form }]) => {
          const twin = second.get(module);
          return twin !== undefined && sameForm(form, twin.form) ? [] : [{ fault: `${name} is not deterministic: ${module} differs between two runs with one seed`, expected: 'the same bytes', found: 'other ones', advice: 'draw random numbers from createRandom(context.seed), never from Math.random, clocks or state that outlives apply' }];
        });
      } finally {
        await other[Symbol.asyncDispose]();
      }
    }),
    ...Object.entries(kit.otherBackends ?? {}).map(([backendName, makeOther]) =>
      onBackend(`gives on backend ${backendName} what it gives on the first, with ${variant}`, async (backend) => {
        const options = await parse(raw);
        const samples = accepted(wellConditionedLayers(), options);
        const first = await apply(samples, options, backend, { seed: 3 });
        const other = await makeOther();
        try {
          const second = await apply(samples, options, other, { seed: 3 });
          const sensitive = kit.sensitive?.includes(variant) === true;
          const findings = [...first].flatMap(([module, { form, report }]): Finding[] => {
            const twin = second.get(module)!;
            const far = sensitive ? Math.abs(twin.report.loss! / report.loss! - 1) : agreement(form, twin.form);
            const close = sensitive ? far < 0.01 : far >= 0.995;
            return close ? [] : [{ fault: `${name} gives something else on backend ${backendName}`, expected: sensitive ? 'losses within 1 %' : '99.5 % of the weights equal to a thousandth', found: `${module}: ${sensitive ? 'difference of the losses' : 'share of equal weights'} ${String(far)}`, advice: 'look for sums whose order the backend chooses; list the variant in kit.sensitive if codes hang on their last bit' }];
          });
          return [...findings, ...leakFindings(`${name} on ${backendName}`, other)];
        } finally {
          await other[Symbol.asyncDispose]();
        }
      }),
    ),
    onBackend(`takes layers without weight, without signal and with outliers, with ${variant}`, async (backend) => {
      const options = await parse(raw);
      const samples = accepted(awkwardLayers(Object.values(layers)[0]!.weight.shape[1]!), options);
      const results = await apply(samples, options, backend);
      const findings = Object.entries(samples).flatMap(([module, { weight }]) => formFindings(name, module, results.get(module)?.form, weight.shape));
      const zero = results.get('all weights zero')?.form;
      if (zero !== undefined && zero.form !== 'shared' && denseFloat32(zero).some((value) => value !== 0)) findings.push({ fault: `${name} makes something of nothing`, expected: 'a matrix of zeros to stay one', found: 'values other than zero', advice: 'look at scales and zero points of groups without range' });
      return findings;
    }),
  ];

  return [
    ...Object.entries(kit.refusals ?? {}).map(([sample, { options: raw, shape, says }]) =>
      check(`options are refused by check before any work: ${sample}`, async () => {
        const reason = technique.check?.({ info: layerInfo('layer', shape, 0, kit.kind), options: await parse(raw) }) ?? 'check accepted it';
        return says.test(reason) ? [] : [{ fault: `${name} does not refuse what cannot work (${sample})`, expected: `check to say ${String(says)}`, found: reason, advice: 'return the reason from check, with what would fit; it is called before hours of work' }];
      }),
    ),
    ...Object.entries<unknown>({ defaults: {}, ...kit.variants }).flatMap(([variant, raw]) => variantChecks(variant, raw)),
    onBackend('leaves alone what is not its to change', async (backend) => {
      const copies = Object.fromEntries(Object.entries(layers).map(([layer, { weight, inputs }]) => [layer, { weight: weight.data.slice(), inputs: inputs.data.slice() }]));
      await apply(layers, await parse({}), backend);
      return Object.entries(layers).flatMap(([layer, { weight, inputs }]) => {
        const before = copies[layer]!;
        const changed = [...(isDeepStrictEqual(weight.data, before.weight) ? [] : ['weight']), ...(isDeepStrictEqual(inputs.data, before.inputs) ? [] : ['calibration inputs'])];
        // What follows must see the layers as they were.
        weight.data.set(before.weight);
        (inputs.data as Float32Array).set(before.inputs as Float32Array);
        return changed.length === 0 ? [] : [{ fault: `${name} writes outside its targets: it changes the host's own ${changed.join(' and ')} in place`, expected: `${layer} as it was`, found: 'other values', advice: 'weight() gives a copy that is yours; what form(), statistic() and context.model give is not' }];
      });
    }),
    onBackend('does not start when it was cancelled before', async (backend) => {
      const outcome: unknown = await apply(layers, await parse({}), backend, { signal: AbortSignal.abort() }).catch((thrown: unknown) => thrown);
      return isPareError(outcome) && outcome.code === 'PARE_ABORTED' ? [] : [ignoresCancel(name, outcome, 'started although its signal had fired')];
    }),
    onBackend('stops within a block when it is cancelled', async (backend) => {
      const controller = new AbortController();
      let after = 0;
      const watched = observedTechnique(technique, {
        onRead: () => {
          controller.abort();
        },
        onReplace: () => {
          after++;
        },
      });
      const outcome: unknown = await apply(layers, await parse({}), backend, { signal: controller.signal, technique: watched }).catch((thrown: unknown) => thrown);
      if (isPareError(outcome) && outcome.code === 'PARE_ABORTED' && after <= 1) return [];
      return [ignoresCancel(name, outcome, `worked on ${String(after)} of ${String(names.length)} modules after its signal had fired in the first`)];
    }),
  ];
}

/** @param outcome what the run ended with @param found what the technique did */
export function ignoresCancel(name: string, outcome: unknown, found: string): Finding {
  const ended = outcome instanceof Error ? `ended with ${describeThrown(outcome)}` : 'ended as if nothing had happened';
  return { fault: `${name} ignores cancellation`, expected: 'PARE_ABORTED before the next module', found: `${found}, and ${ended}`, advice: 'call throwIfAborted(signal, …) at least once a module, or walk them with eachModule' };
}
