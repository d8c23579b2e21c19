import { inModule, throwIfAborted, type GramMatrix, type ModuleHandle, type StatisticRef, type TechniqueContext } from '@pare/core';
import { columnSolver, type ColumnSolver, type FactorizeRequest, type InverseFactor } from './contract.js';
import { createColumnSolver } from './wasm/solver.js';

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
  sweep(module: ModuleHandle<O>, weight: Float32Array, work: { readonly factor: InverseFactor; readonly tokens: number; readonly solver: ColumnSolver }): Promise<void>;
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
  const { modules, signal, progress, backend } = context;
  let completed = 0;
  const done = (detail?: string): void => progress.report({ completed, total: modules.length, unit: 'modules', detail });
  for (const { gram, modules: sharing } of await batchModules(modules, technique)) {
    throwIfAborted(signal, technique.title);
    const [first] = sharing as [ModuleHandle<O>];
    done(first.info.name);
    const weights = prefetch(sharing, (module) => module.weight());
    let factor: InverseFactor | undefined;
    if (gram.rows >= technique.minimumTokens(first.options)) {
      factor = await inModule(first, async () => {
        const { data } = await backend.read(gram.matrix);
        const size = first.info.shape[1];
        return solver.factorize({ gram: data as Float32Array | Float64Array, size, scale: 2 / gram.rows, ...technique.factorOptions(first.options), signal });
      });
    }
    for (const module of sharing) {
      const { data: weight } = await weights.next();
      await inModule(module, () =>
        factor === undefined ? technique.fallback(module, weight, gram.rows) : technique.sweep(module, weight, { factor, tokens: gram.rows, solver }),
      );
      completed += 1;
      done(module.info.name);
    }
  }
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
