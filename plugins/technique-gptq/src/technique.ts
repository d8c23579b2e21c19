import { apiVersion, defineTechnique, isPareError, pareError, throwIfAborted, type GramMatrix, type ModuleHandle, type Technique, type TechniqueContext } from '@pare/core';
import { gramStatistic } from '@pare/model';
import { columnSolver, createColumnSolver, quantizerRule, type ColumnSolver, type InverseFactor } from '@pare/solvers';
import { quantizeMatrix, resolveScaleType } from '@pare/weights';
import { gptqOptions, type GptqOptions } from './options.js';
import { checkGroupSize, planModules } from './plan.js';

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323): columns are quantized one after another, and the error of each is made up for by those not quantized
 * yet, so that the layer's outputs on calibration data change least. The loss it reports is Σ e² = tr(Δ·H·Δᵀ) with H = (2/N)·XᵀX + damping: twice the
 * mean squared change of the outputs over the N calibration tokens, damping included.
 */
export const gptq: Technique<GptqOptions> = defineTechnique<GptqOptions>({
  id: 'gptq',
  api: apiVersion,
  title: 'GPTQ',
  summary: 'Quantizes weights to 2 to 8 bits column by column; later columns make up for the error of earlier ones on calibration data.',
  family: 'quantization',
  scope: 'block',
  paper: 'arXiv:2210.17323',
  options: gptqOptions,
  accepts: ['dense', 'quantized'],
  produces: ['quantized'],
  statistics: () => [gramStatistic],
  sequential: (options) => options.trueSequential,
  check: checkGroupSize,
  plan: planModules,
  async apply(context) {
    const ofBackend = context.backend.capability(columnSolver);
    const solver = ofBackend ?? createColumnSolver({ threads: 0 });
    try {
      await quantizeModules(context, solver);
    } finally {
      if (ofBackend === undefined) await solver.dispose();
    }
  },
});

type Handle = ModuleHandle<GptqOptions>;

/** Modules that share a Gram matrix and everything that goes into its factor. */
interface Batch {
  readonly gram: GramMatrix;
  readonly modules: readonly Handle[];
}

async function quantizeModules(context: TechniqueContext<GptqOptions>, solver: ColumnSolver): Promise<void> {
  const { modules, signal, progress, backend } = context;
  let completed = 0;
  const done = (detail?: string): void => progress.report({ completed, total: modules.length, unit: 'modules', detail });
  for (const { gram, modules: sharing } of await batchModules(modules)) {
    throwIfAborted(signal, 'GPTQ');
    done(sharing[0]!.info.name);
    const { options } = sharing[0]!;
    const weights = prefetch(sharing, (module) => module.weight());
    let factor: InverseFactor | undefined;
    if (gram.rows >= options.minimumTokens) {
      factor = await placed(sharing[0]!, async () => {
        const { data } = await backend.read(gram.matrix);
        const { damping, dampingIncrement, actOrder } = options;
        const size = sharing[0]!.info.shape[1];
        return solver.factorize({ gram: data as Float32Array | Float64Array, size, scale: 2 / gram.rows, damping, dampingIncrement, actOrder, signal });
      });
    }
    for (const module of sharing) {
      const { data: weight } = await weights.next();
      await placed(module, () => (factor === undefined ? roundModule(module, weight, gram.rows) : sweepModule(module, weight, factor, gram.rows, solver, signal)));
      completed += 1;
      done(module.info.name);
    }
  }
}

/** Groups modules by the Gram matrix they share (one object) and the options that its factor depends on, in order of first appearance. */
async function batchModules(modules: readonly Handle[]): Promise<readonly Batch[]> {
  const batches = new Map<GramMatrix, Map<string, { gram: GramMatrix; modules: Handle[] }>>();
  for (const module of modules) {
    const gram = await module.statistic(gramStatistic);
    const { damping, dampingIncrement, actOrder, minimumTokens } = module.options;
    const key = [damping, dampingIncrement, actOrder, minimumTokens].join();
    const sharing = batches.get(gram) ?? new Map<string, { gram: GramMatrix; modules: Handle[] }>();
    batches.set(gram, sharing);
    const batch = sharing.get(key);
    if (batch === undefined) sharing.set(key, { gram, modules: [module] });
    else batch.modules.push(module);
  }
  return [...batches.values()].flatMap((sharing) => [...sharing.values()]);
}

async function sweepModule(module: Handle, weight: Float32Array, factor: InverseFactor, tokens: number, solver: ColumnSolver, signal: AbortSignal): Promise<void> {
  const { info, options } = module;
  const { bits, symmetric, groupSize, staticGroups, clip, blockSize } = options;
  const rule = quantizerRule({ bits, symmetric, groupSize, staticGroups, clip, scaleType: resolveScaleType(options.scaleType, info.dtype) });
  const { result, loss } = await solver.sweep({ weight, rows: info.shape[0], factor, rule, blockSize, signal });
  if (!Number.isFinite(loss)) throw pareError('PARE_LOSS_NOT_FINITE', { technique: 'gptq', module: info.name, loss });
  const deadInputs = factor.dead.reduce((sum, dead) => sum + dead, 0);
  await module.replace(result, { loss, details: { damping: factor.damping, tokens, ...(deadInputs > 0 ? { deadInputs } : {}) } });
}

/** A Gram matrix of a few tokens says nothing about the inputs to come: round to nearest, and say so. */
async function roundModule(module: Handle, weight: Float32Array, tokens: number): Promise<void> {
  const { info, options } = module;
  const form = quantizeMatrix(weight, info.shape, options, resolveScaleType(options.scaleType, info.dtype));
  const reason =
    tokens === 0
      ? 'no calibration token reached it; rounded to nearest'
      : `only ${String(tokens)} calibration tokens reached it, minimumTokens is ${String(options.minimumTokens)}; rounded to nearest`;
  await module.replace(form, { fallback: reason, details: { tokens } });
}

/** Notes the module on errors that do not name one. */
async function placed<T>(module: Handle, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isPareError(error)) error.place = { module: module.info.name, ...error.place };
    throw error;
  }
}

/** Takes items one at a time, the next one already on its way while the last is worked on. */
function prefetch<T, R>(items: readonly T[], load: (item: T) => Promise<R>): { next(): Promise<R> } {
  let index = 0;
  const start = (): Promise<R> | undefined => {
    const item = items[index++];
    if (item === undefined) return undefined;
    const loading = load(item);
    // Reported by whoever takes it; one that nobody takes any more, after a failure elsewhere, is not an error of its own.
    loading.catch(() => undefined);
    return loading;
  };
  let pending = start();
  return {
    async next() {
      const value = await pending!;
      pending = start();
      return value;
    },
  };
}
