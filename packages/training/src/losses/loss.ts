import { type Dimension, type DType } from '@pare/core';
import { type GraphBuilder, type Value } from '@pare/graph';

/** Where a loss gets what it compares logits with. */
export interface LossInputs {
  /** Declares an input of the loss, which every batch then has to bring. `batch` names the number of windows. */
  input(name: string, dtype: DType, shape: readonly Dimension[]): Value;
}

/** A loss of one batch and what else is to be known of it. */
export interface LossValues {
  /** A scalar: what is made small. */
  readonly loss: Value;
  /** Further scalars to report. */
  readonly metrics?: Readonly<Record<string, Value>> | undefined;
  /** Tensors that `DecoderGradients.outputs` hands out. */
  readonly tensors?: Readonly<Record<string, Value>> | undefined;
}

/** A loss as a piece of a graph over logits. */
export interface Loss {
  /** Equal for losses that build equal graphs: compiled graphs are shared under it. */
  readonly key: string;
  /** @param logits float32 [batch, length, vocabulary] */
  build(builder: GraphBuilder, logits: Value, inputs: LossInputs): LossValues;
}

/** No loss: `DecoderGradients.outputs` of it are the `logits`, such as a teacher's. */
export const logitsOnly: Loss = { key: 'logits', build: (builder, logits) => ({ loss: builder.scalar(0), tensors: { logits } }) };
