import type { Backend, DeviceTensor, DType, Graph, StatisticRef } from '@pare/core';
import type { GraphBuilder, Value } from '@pare/graph';

/** One tensor of a statistic's running value. All start as zeros. */
export interface StateTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** What `finish` has at hand. */
export interface FinishContext {
  readonly backend: Backend;
  readonly inFeatures: number;
  /** Rows (tokens) that were added. 0 for an expert that no token reached. */
  readonly rows: number;
  readonly signal: AbortSignal | undefined;
  /** Runs a small graph, compiled once per key. Inputs stay the caller's, outputs become the caller's. */
  run(key: string, build: () => Graph, inputs: Readonly<Record<string, DeviceTensor>>): Promise<Record<string, DeviceTensor>>;
}

export interface StatisticDefinition<T> {
  /** Unique and stable; part of the key under which calibration graphs are compiled. */
  readonly id: string;
  /** The running value for inputs of this width. */
  state(inFeatures: number): readonly StateTensor[];
  /** Adds rows [n, inFeatures] float32 (n ≥ 1; rows of zeros stand for tokens that do not count) to the running value: its next tensors, same shapes. */
  accumulate(builder: GraphBuilder, rows: Value, state: readonly Value[], inFeatures: number): readonly Value[];
  /** The running values over two sets of rows, as `accumulate` left them, as one over both; element by element added up for sums. Without it several devices do not share a pass. */
  combine?(builder: GraphBuilder, first: readonly Value[], second: readonly Value[], inFeatures: number): readonly Value[];
  /** Turns the final running value into the statistic. Tensors of `state` are borrowed; whatever the value keeps on the device must be its own. */
  finish(state: readonly DeviceTensor[], context: FinishContext): Promise<T>;
  /** Frees what the value keeps on the device. */
  dispose?(value: T): void;
}

/** A statistic of a module's input with the rule that computes it on any backend. Its ref and its definition are one object. */
export interface Statistic<T> extends StatisticRef<T>, StatisticDefinition<T> {
  readonly id: string;
}

/** Defines a calibration statistic: list the result in a technique's `statistics` and read it through the module handle. */
export function defineStatistic<T>(definition: StatisticDefinition<T>): Statistic<T> {
  return { ...definition, $$type: '@pare/statistic' };
}

/** `combine` of running sums. */
export function addValues(builder: GraphBuilder, first: readonly Value[], second: readonly Value[]): readonly Value[] {
  return first.map((value, index) => builder.add(value, second[index]!));
}

/** True for a ref that carries its definition. */
export function isStatistic(ref: StatisticRef<unknown>): ref is Statistic<unknown> {
  return 'accumulate' in ref && 'finish' in ref && 'state' in ref;
}
