import type { DType, LinearDescription } from '@pare/core';
import type { GraphBuilder, Value } from '@pare/graph';

/**
 * What the pieces of a decoder are built in. The pieces (norms, attention, MLP, …) know the arithmetic; the scope knows where weights come from and in
 * which type the graph computes. A forward pass takes weights as graph inputs, an export as constants, a quantized export as packed matrices.
 */
export interface DecoderScope {
  readonly builder: GraphBuilder;
  /** Type of the hidden states. */
  readonly dtype: DType;
  /** Added to the score of a key that a query may not see. Finite, so that a row without any visible key (padding) stays free of NaN. */
  readonly maskedScore: number;
  /** A norm weight, a bias, …: any parameter but a linear layer's matrix, by its stored tensor name. */
  parameter(name: string, shape: readonly number[], dtype?: DType): Value;
  /**
   * y = x·Wᵀ (+ b), x [..., in] → [..., out].
   * @param routed present when x holds rows that a router sent here
   */
  linear(x: Value, layer: LinearDescription, routed?: RoutedRows): Value;
}

/** Which rows reached an expert of a mixture. */
export interface RoutedRows {
  /** Their number, int64 [1]. */
  readonly count: Value;
  /** 1 for rows that count and 0 for the others, [rows, 1] float32; absent when x holds nothing else. */
  readonly mask: Value | undefined;
}

/** y = x·Wᵀ + b with an ordinary weight value [out, in]. Runtimes merge the transposition into the product. */
export function denseLinear(builder: GraphBuilder, x: Value, weight: Value, bias: Value | undefined): Value {
  const product = builder.matmul(x, builder.transpose(weight, [1, 0]));
  return bias === undefined ? product : builder.add(product, bias);
}
