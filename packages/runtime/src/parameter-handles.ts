import { pareError, type DenseWeight, type Model, type ParameterHandle, type TargetModule, type Technique } from '@pare/core';
import type { ModelLibrary } from './model-library.js';

export interface ParameterContext {
  readonly technique: Technique;
  /** The model as earlier stages and steps left it. */
  readonly source: Model;
  readonly library: ModelLibrary;
  /** The block at work; undefined for modules outside blocks, `all` for the whole model. */
  readonly block: number | 'all' | undefined;
}

/** What a technique gets beside its targets, and what it made of that, by stored name. */
export interface ParameterSet {
  readonly handles: readonly ParameterHandle[];
  readonly outcomes: ReadonlyMap<string, DenseWeight>;
}

/** Handles of everything in the block, or the model, but the targets' matrices, for techniques that adjust it. */
export function createParameters(targets: readonly TargetModule<unknown>[], { technique, source, library, block }: ParameterContext): ParameterSet {
  const outcomes = new Map<string, DenseWeight>();
  const plugin = `technique "${technique.id}"`;
  const beside = technique.adjusts === true ? library.parametersBeside(source, block, new Set(targets.map(({ info }) => info.name))) : [];
  const handles = beside.map((parameter): ParameterHandle => ({
    name: parameter.name,
    module: parameter.module,
    shape: parameter.shape,
    dtype: parameter.dtype,
    value: async () => library.parameterValues(outcomes.get(parameter.name) ?? (await library.readParameter(source, parameter))),
    replace(values) {
      const stored = library.storedParameter(parameter, values);
      if (typeof stored === 'string') return Promise.reject(pareError('PARE_RESULT_INVALID', { plugin, module: parameter.name, problem: stored }));
      outcomes.set(parameter.name, stored);
      return Promise.resolve();
    },
  }));
  return { handles, outcomes };
}
