import { isPareError, type Backend, type Checkpoint, type EvaluationContext, type EvaluationResult, type Evaluator, type Model, type Predictor, type TextSource } from '@pare/core';
import { exactJson, parseExactJson } from '@pare/platform';
import { isDeepStrictEqual } from 'node:util';
import { check, declareChecks, runChecks, type Check, type CheckSuite } from '../kit/check.js';
import { describeThrown, type Finding } from '../kit/finding.js';
import { parseOptions, pluginChecks, type OptionSamples } from '../kit/identity-checks.js';
import { checkOnBackend } from '../kit/on-backend.js';
import { awkwardModels } from '../technique/describe-technique.js';
import { watched } from './watched.js';

/** A model as an evaluator gets it, with what goes with it. */
export interface EvaluatedModel extends AsyncDisposable {
  readonly model: Model;
  readonly predictor: Predictor;
  /** The model before compression. */
  readonly original: Model;
  readonly originalPredictor: Predictor;
  tokenizer: EvaluationContext<unknown>['tokenizer'];
}

export interface EvaluatorConformanceOptions extends OptionSamples {
  readonly makeBackend: () => Backend | Promise<Backend>;
  /** Opens one of the models for evaluation. `evaluatorBench` of `@pare/testkit` has all of these. */
  readonly open: (model: string, backend: Backend) => Promise<EvaluatedModel>;
  /** A text, for evaluators that read one. */
  readonly text?: TextSource;
  /** Items as JSON lines, for evaluators that read them. */
  readonly items?: TextSource;
  /** `awkwardModels` by default; the first is the one that everything is tried on. */
  readonly modelNames?: readonly string[];
  /** Options for the runs, as a command line would have them; the defaults when absent. Choose cheap ones. */
  readonly runOptions?: Readonly<Record<string, unknown>>;
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * The suite that every evaluator must pass: declared, finite and repeatable metrics, nothing read that it does not declare, an end when it is told to, the same result from kept pieces, and
 * nothing left on the backend. Call it at the top level of a vitest file.
 */
export function describeEvaluator<O>(evaluator: Evaluator<O>, kit: EvaluatorConformanceOptions): void {
  declareChecks(evaluatorSuite(evaluator, kit));
}

/** The same as findings, without a test runner. */
export function checkEvaluator<O>(evaluator: Evaluator<O>, kit: EvaluatorConformanceOptions): Promise<readonly Finding[]> {
  return runChecks(evaluatorSuite(evaluator, kit));
}

interface Watch {
  readonly signal?: AbortSignal;
  readonly checkpoint?: Checkpoint;
  onRead?(what: 'weights' | 'predictions', call: string): void;
}

function evaluatorSuite<O>(evaluator: Evaluator<O>, kit: EvaluatorConformanceOptions): CheckSuite {
  const name = `evaluator ${evaluator.id}`;
  const models = kit.modelNames ?? awkwardModels;
  const onBackend = (title: string, work: (backend: Backend) => Promise<readonly Finding[]>): Check => checkOnBackend(name, kit.makeBackend, title, work);

  const evaluate = async (modelName: string, backend: Backend, raw: unknown, watch: Watch = {}): Promise<EvaluationResult> => {
    await using subject = await kit.open(modelName, backend);
    const look = <T extends object>(value: T, what: 'weights' | 'predictions', calls: readonly string[]): T => watched(value, calls, (call) => watch.onRead?.(what, call));
    const model = (value: Model): Model => look(value, 'weights', ['weight', 'denseWeight', 'tensor']);
    const predictor = (value: Predictor): Predictor => look(value, 'predictions', ['negativeLogLikelihood', 'scoreContinuations', 'generate', 'logits']);
    const compares = evaluator.original !== undefined;
    return await evaluator.evaluate({
      log: silent,
      signal: watch.signal ?? new AbortController().signal,
      seed: 0,
      progress: { report: () => undefined },
      backend,
      services: {},
      model: model(subject.model),
      predictor: predictor(subject.predictor),
      original: compares ? model(subject.original) : undefined,
      originalPredictor: compares ? predictor(subject.originalPredictor) : undefined,
      artifact: undefined,
      options: await parseOptions(evaluator.options, raw),
      data: evaluator.data === 'none' ? undefined : evaluator.data === 'items' ? kit.items : kit.text,
      checkpoint: watch.checkpoint ?? { piece: (_piece, work) => work() },
      tokenizer: () => subject.tokenizer(),
    });
  };

  const runOptions = kit.runOptions ?? {};
  const resultFindings = ({ metrics, details }: EvaluationResult, modelName: string): Finding[] => {
    const declared = evaluator.metrics.map((metric) => metric.name);
    const findings: Finding[] = [];
    for (const [metric, value] of Object.entries(metrics)) {
      if (!declared.includes(metric)) findings.push({ fault: `${name} returns a metric that it does not declare`, expected: `some of ${declared.join(', ')}`, found: metric, advice: 'add it to metrics, with unit and direction: tables and comparisons are made from that' });
      if (!Number.isFinite(value)) findings.push({ fault: `${name} returns a metric that is no number`, expected: 'a finite number', found: `${metric} is ${String(value)} on a model with ${modelName}`, advice: 'guard divisions by empty sums; throw a PARE_… error where there is nothing to measure' });
    }
    if (Object.keys(metrics).length === 0) findings.push({ fault: `${name} measures nothing`, expected: 'at least one metric', found: '{}', advice: 'return { metrics: { … } }' });
    if (details !== undefined && !isDeepStrictEqual(JSON.parse(JSON.stringify(details)), details)) findings.push({ fault: `${name} returns details that do not survive JSON`, expected: 'plain objects, arrays, text, finite numbers', found: 'something that changes through JSON.stringify', advice: 'no undefined values, typed arrays, dates, maps or NaN in details: results are kept as JSON' });
    return findings;
  };

  return {
    name,
    close: () => Promise.resolve(),
    checks: [
      ...pluginChecks(name, evaluator, kit),
      check('declares what it measures', () => {
        const names = evaluator.metrics.map((metric) => metric.name);
        const findings: Finding[] = [];
        if (names.length === 0 || new Set(names).size < names.length) findings.push({ fault: `${name} does not declare its metrics`, expected: 'one declaration for each metric', found: names.join(', ') || 'none', advice: 'metrics: [{ name, unit, direction, summary }]' });
        for (const { name: metric, summary } of evaluator.metrics) if (!/^[a-zA-Z]\w*$/.test(metric) || summary.trim() === '') findings.push({ fault: `${name} has a metric that reports cannot show`, expected: 'a plain name and a summary', found: JSON.stringify({ name: metric, summary }), advice: 'names are letters and digits: perplexity' });
        return findings;
      }),
      ...models.map((modelName) =>
        onBackend(`measures a model with ${modelName}, or says why not`, async (backend) => {
          try {
            return resultFindings(await evaluate(modelName, backend, runOptions), modelName);
          } catch (thrown) {
            if (isPareError(thrown)) return [];
            throw thrown;
          }
        }),
      ),
      ...Object.entries(kit.variants ?? {}).map(([variant, raw]) => onBackend(`measures with ${variant}`, async (backend) => resultFindings(await evaluate(models[0]!, backend, raw), models[0]!))),
      onBackend('reads nothing but what it declares', async (backend) => {
        const reads = evaluator.readsWith?.(await parseOptions(evaluator.options, runOptions)) ?? evaluator.reads ?? 'weights';
        const undeclared = new Set<string>();
        await evaluate(models[0]!, backend, runOptions, {
          onRead(what, call) {
            if (reads === 'summary' || (reads === 'predictions' && what === 'weights')) undeclared.add(call);
          },
        });
        return undeclared.size === 0 ? [] : [{ fault: `${name} reads more than it declares`, expected: `reads: '${reads}'`, found: `calls of ${[...undeclared].join(', ')}`, advice: 'declare predictions or weights in reads: a summary is never waited for, and exported files have no weights to read' }];
      }),
      ...(evaluator.measures === 'machine'
        ? []
        : [
            onBackend('measures the same every time', async (backend) => {
              const [first, second] = [await evaluate(models[0]!, backend, runOptions), await evaluate(models[0]!, backend, runOptions)];
              if (isDeepStrictEqual(first, second)) return [];
              return [{ fault: `${name} is not deterministic: two evaluations of one model differ`, expected: JSON.stringify(first.metrics), found: JSON.stringify(second.metrics), advice: 'draw random numbers from createRandom(context.seed); declare measures: "machine" for timings, which are never kept' }];
            }),
          ]),
      onBackend('stops when it is cancelled on the way', async (backend) => {
        const controller = new AbortController();
        let after = 0;
        const outcome: unknown = await evaluate(models[0]!, backend, runOptions, {
          signal: controller.signal,
          onRead() {
            if (controller.signal.aborted) after++;
            controller.abort();
          },
        }).catch((thrown: unknown) => thrown);
        const aborted = isPareError(outcome) && outcome.code === 'PARE_ABORTED';
        // One that is done with its first look has nothing left to stop.
        if (aborted ? after <= 1 : !(outcome instanceof Error) && after === 0) return [];
        const ended = outcome instanceof Error ? `ended with ${describeThrown(outcome)}` : 'ended as if nothing had happened';
        return [{ fault: `${name} ignores cancellation`, expected: 'PARE_ABORTED before the next look at the model', found: `read it ${String(after)} more times after its signal had fired, and ${ended}`, advice: 'call throwIfAborted(signal, …) in the loop, and hand the signal to the predictor' }];
      }),
      onBackend('gives the same from kept pieces', async (backend) => {
        // As the host's journal keeps them.
        const kept = new Map<string, string>();
        const record: Checkpoint = {
          async piece(piece, work) {
            const value = await work();
            kept.set(piece, exactJson(value));
            return value;
          },
        };
        const through = await evaluate(models[0]!, backend, runOptions, { checkpoint: record });
        if (kept.size === 0) return [];
        // Every other piece from an earlier run, the rest computed now.
        const half = new Map([...kept].filter((_, index) => index % 2 === 0));
        const resume: Checkpoint = {
          async piece<T>(piece: string, work: () => Promise<T>): Promise<T> {
            const text = half.get(piece);
            return text === undefined ? await work() : (parseExactJson(text) as T);
          },
        };
        const resumed = await evaluate(models[0]!, backend, runOptions, { checkpoint: resume });
        if (isDeepStrictEqual(resumed, through)) return [];
        return [{ fault: `${name} breaks resume: an evaluation that goes on from kept pieces ends differently`, expected: JSON.stringify(through.metrics), found: JSON.stringify(resumed.metrics), advice: 'a piece must be JSON, have a name of its own, and not depend on which others were computed in this run' }];
      }),
    ],
  };
}
