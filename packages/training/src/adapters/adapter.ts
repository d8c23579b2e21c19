import { type HostTensor, type Random } from '@pare/core';
import { type GraphBuilder, type Value } from '@pare/graph';

/**
 * Replaces a matrix in the forward pass by one computed from it and a few parameters of its own. Because the graph computes with the whole changed matrix, what is trained
 * and what is merged in the end are the same numbers.
 */
export interface Adapter {
  /** Equal for adapters that build equal graphs. */
  readonly key: string;
  /** Parameters for a matrix [out, in]; names are the matrix's with a suffix. */
  parameters(shape: readonly number[]): readonly AdapterParameter[];
  /** The changed matrix, given the parameters in their order. */
  apply(builder: GraphBuilder, weight: Value, parameters: readonly Value[]): Value;
}

export interface AdapterParameter {
  readonly suffix: string;
  readonly shape: readonly number[];
  /** Its values before training. */
  initial(random: Random): HostTensor;
}
