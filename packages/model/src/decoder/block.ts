import type { BlockDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import { addAttention, type Mixer } from './attention.js';
import { addMlp, type ExpertMode } from './mlp.js';
import { addNorm } from './norm.js';
import type { RotaryAngles } from './rotary.js';
import type { DecoderScope } from './scope.js';

export interface BlockSurroundings {
  readonly hiddenSize: number;
  /** Angles of the block's rotary embedding at the positions of x. */
  readonly angles: RotaryAngles | undefined;
  readonly mix: Mixer;
  readonly experts: ExpertMode;
}

/**
 * One decoder block, x [batch, positions, hidden] → same shape:
 * x + attention(norm x), then + mlp(norm ·); with `parallelResidual` x + attention(norm₁ x) + mlp(norm₂ x). Gemma 2 norms each half's output too.
 */
export function addBlock(scope: DecoderScope, block: BlockDescription, x: Value, { hiddenSize, angles, mix, experts }: BlockSurroundings): Value {
  const { builder } = scope;
  const attended = addAttention(scope, block.attention, addNorm(scope, block.attentionNorm, x, hiddenSize), angles, mix);
  const attention = block.postAttentionNorm === undefined ? attended : addNorm(scope, block.postAttentionNorm, attended, hiddenSize);
  if (block.parallelResidual) {
    const mlp = addMlp(scope, block.mlp, addNorm(scope, block.mlpNorm, x, hiddenSize), experts);
    return builder.add(builder.add(mlp, attention), x);
  }
  const middle = builder.add(x, attention);
  const output = addMlp(scope, block.mlp, addNorm(scope, block.mlpNorm, middle, hiddenSize), experts);
  return builder.add(middle, block.postMlpNorm === undefined ? output : addNorm(scope, block.postMlpNorm, output, hiddenSize));
}
