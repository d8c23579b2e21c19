import { float32Tensor, inModule, prefetch, throwIfAborted, type GramMatrix, type HostTensor, type ModuleHandle, type StatisticRef, type TechniqueContext } from '@pare/core';
import { denseFloat32 } from '@pare/weights';
import type { ColumnRule } from './column-rule.js';
import { columnSolver, type ColumnSolver, type FactorFacts, type FactorizeRequest, type ResidentFactor, type ResidentSolver, type SweepResult } from './contract.js';
import { weightValues } from './sweep-driver.js';
import { createColumnSolver } from './wasm/solver.js';

/** What a technique solves a module with. */
export interface LayerWork {
  readonly factor: FactorFacts;
  /** Calibration tokens behind the factor. */
  readonly tokens: number;
  /** Sweeps the module's weight under a rule; see `ColumnSolver.sweep`. */
  solve<R>(rule: ColumnRule<R>, blockSize: number | undefined): Promise<SweepResult<R>>;
}

/** A second-order technique over the modules of a block: what it needs of their Gram matrices, and what it does with the factor. */
export interface LayerSweep<O> {
  /** As it is called when it is cancelled: `GPTQ`. */
  readonly title: string;
  readonly gram: StatisticRef<GramMatrix>;
  /** Everything of the options that goes into the factor of H = (2/N)·XᵀX over N calibration tokens. */
  factorOptions(options: O): Pick<FactorizeRequest, 'damping' | 'dampingIncrement' | 'actOrder'>;
  /** Calibration tokens below which a Gram matrix says too little about inputs to come, and `fallback` is called instead of `sweep`. */
  minimumTokens(options: O): number;
  /** Solves a module and hands in the result. */
  sweep(module: ModuleHandle<O>, work: LayerWork): Promise<void>;
  /** Does without the factor, and says so in the report. */
  fallback(module: ModuleHandle<O>, weight: Float32Array, tokens: number): Promise<void>;
}

/** Modules that share a Gram matrix and everything that goes into its factor. */
interface Batch<O> {
  readonly gram: GramMatrix;
  readonly modules: readonly ModuleHandle<O>[];
}

/**
 * Solves the modules of a block with the backend's column solver, or one of its own on the calling thread where the backend has none. Modules that share a Gram
 * matrix and the options of its factor share one factorization; the next weight is read while one is solved. Errors name the module.
 */
export async function sweepLayers<O>(context: TechniqueContext<O>, technique: LayerSweep<O>): Promise<void> {
  const ofBackend = context.backend.capability(columnSolver);
  const solver = ofBackend ?? createColumnSolver({ threads: 0 });
  try {
    await sweepModules(context, technique, solver);
  } finally {
    if (ofBackend === undefined) await solver.dispose();
  }
}

async function sweepModules<O>(context: TechniqueContext<O>, technique: LayerSweep<O>, solver: ColumnSolver): Promise<void> {
  const { modules, signal, progress } = context;
  let completed = 0;
  const done = (detail?: string): void => progress.report({ completed, total: modules.length, unit: 'modules', detail });
  for (const batch of await batchModules(modules, technique)) {
    throwIfAborted(signal, technique.title);
    const { gram, modules: sharing } = batch;
    const [first] = sharing as [ModuleHandle<O>];
    done(first.info.name);
    const few = gram.rows < technique.minimumTokens(first.options);
    const resident = solver.resident !== undefined && !few && gram.matrix.dtype === 'float32' ? solver.resident : undefined;
    const weights = prefetch(sharing, (module) => (resident === undefined ? module.weight() : storedWeight(module)));
    using factor = few ? undefined : await inModule(first, () => factorize(context, technique, batch, solver, resident));
    for (const module of sharing) {
      const weight = await weights.next();
      await inModule(module, () =>
        factor === undefined ? technique.fallback(module, weight.data as Float32Array, gram.rows) : technique.sweep(module, { factor: factor.facts, tokens: gram.rows, solve: (rule, blockSize) => factor.sweep(weight, module.info.shape[0], rule, blockSize) }),
      );
      completed += 1;
      done(module.info.name);
    }
  }
}

/** A factor wherever it lies. */
interface Factor extends Disposable {
  readonly facts: FactorFacts;
  sweep<R>(weight: HostTensor, rows: number, rule: ColumnRule<R>, blockSize: number | undefined): Promise<SweepResult<R>>;
}

/** Factorizes the Gram matrix of a batch where it lies if the solver can, else in host memory. */
async function factorize<O>({ backend, signal }: TechniqueContext<O>, technique: LayerSweep<O>, { gram, modules: [first] }: Batch<O>, solver: ColumnSolver, resident: ResidentSolver | undefined): Promise<Factor> {
  const { shape } = first!.info;
  const request = { size: shape[1], scale: 2 / gram.rows, ...technique.factorOptions(first!.options), signal };
  const onDevice = await resident?.factorize({ ...request, gram: gram.matrix });
  if (resident !== undefined && onDevice !== undefined) return residentFactor(resident, onDevice, signal);
  const { data } = await backend.read(gram.matrix);
  const factor = await solver.factorize({ ...request, gram: data as Float32Array | Float64Array });
  return {
    facts: factor,
    sweep: (weight, rows, rule, blockSize) => solver.sweep({ weight: weightValues(weight), rows, factor, rule, blockSize, signal }),
    [Symbol.dispose]: () => undefined,
  };
}

function residentFactor(solver: ResidentSolver, factor: ResidentFactor, signal: AbortSignal): Factor {
  return {
    facts: factor,
    sweep: (weight, rows, rule, blockSize) => solver.sweep({ weight, rows, factor, rule, blockSize, signal }),
    [Symbol.dispose]: () => factor[Symbol.dispose](),
  };
}

/** A module's weight in the type it is stored in where it is dense, else multiplied out to float32. */
async function storedWeight<O>(module: ModuleHandle<O>): Promise<HostTensor> {
  const form = await module.form();
  if (form.form === 'shared') return module.weight();
  return form.form === 'dense' ? form.tensor : float32Tensor(form.shape, denseFloat32(form));
}

/** Groups modules by the Gram matrix they share (one object) and the options that its factor depends on, in order of first appearance. */
async function batchModules<O>(modules: readonly ModuleHandle<O>[], technique: LayerSweep<O>): Promise<readonly Batch<O>[]> {
  const batches = new Map<GramMatrix, Map<string, { gram: GramMatrix; modules: ModuleHandle<O>[] }>>();
  for (const module of modules) {
    const gram = await module.statistic(technique.gram);
    const { damping, dampingIncrement, actOrder } = technique.factorOptions(module.options);
    const key = [damping, dampingIncrement, actOrder, technique.minimumTokens(module.options)].join();
    const sharing = batches.get(gram) ?? new Map<string, { gram: GramMatrix; modules: ModuleHandle<O>[] }>();
    batches.set(gram, sharing);
    const batch = sharing.get(key);
    if (batch === undefined) sharing.set(key, { gram, modules: [module] });
    else batch.modules.push(module);
  }
  return [...batches.values()].flatMap((sharing) => [...sharing.values()]);
}
