import { elementCount, float32Tensor } from '@pare/core';
import { type Adapter } from './adapter.js';

export interface LoraOptions {
  /** Inner width r. */
  readonly rank: number;
  /** α: the product is scaled by α / r. */
  readonly alpha: number;
}

/**
 * Low-rank adaptation: W + (α / r) B·A with A [r, in] and B [out, r] (Hu et al., arXiv 2106.09685, §4.1). A starts uniform in ±1/√in, B at zero, so that training starts from W.
 */
export function lora({ rank, alpha }: LoraOptions): Adapter {
  if (!Number.isInteger(rank) || rank < 1) throw new RangeError(`rank is ${String(rank)}; allowed: whole numbers from 1`);
  return {
    key: `lora ${String(rank)} ${String(alpha)}`,
    parameters: (shape) => {
      const [out, inner] = shape as [number, number];
      const size = [rank, inner];
      const bound = 1 / Math.sqrt(inner);
      return [
        { suffix: '.lora_A', shape: size, initial: (random) => float32Tensor(size, Float32Array.from({ length: elementCount(size) }, () => (2 * random() - 1) * bound)) },
        { suffix: '.lora_B', shape: [out, rank], initial: () => float32Tensor([out, rank]) },
      ];
    },
    apply: (builder, weight, [a, b]) => builder.add(weight, builder.mul(builder.matmul(b!, a!), alpha / rank)),
  };
}
