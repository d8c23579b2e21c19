import type { ModuleReport, Technique, WeightForm } from '@pare/core';

/** A stage with one technique on a tiny model. */
export interface BenchRequest<O> {
  readonly technique: Technique<O>;
  /** One of the bench's models. */
  readonly model: string;
  /** As a recipe has them. */
  readonly options: unknown;
  /** Names of the modules to work on; what the technique targets by default. */
  readonly modules?: readonly string[];
  /** Name of the output: requests of one name continue each other when `resume` is set. */
  readonly output: string;
  readonly resume?: boolean;
  readonly signal?: AbortSignal;
  /** After each module's result. */
  onModule?(module: string): void;
  /** After each block. */
  onBlock?(): void;
}

/** What became of a model. */
export interface BenchResult {
  readonly reports: ReadonlyMap<string, ModuleReport>;
  /** Every module's weight, read back from the files that were written. */
  readonly forms: ReadonlyMap<string, WeightForm>;
  /** A hash of every tensor of the model by stored name, before and after. */
  readonly before: ReadonlyMap<string, string>;
  readonly after: ReadonlyMap<string, string>;
  /** Hashes of the files that were written. */
  readonly files: Readonly<Record<string, string>>;
  /** Blocks taken from the journal of an interrupted run. */
  readonly restoredBlocks: number;
  /** Files of the model folder that changed while the technique ran. */
  readonly changedSources: readonly string[];
  /** Device tensors still alive at the end. */
  readonly leaked: number;
}

/** Tiny models and a host to run techniques on them. `modelBench` of `@pare/testkit` makes one. */
export interface ModelBench extends AsyncDisposable {
  compress<O>(request: BenchRequest<O>): Promise<BenchResult>;
}
