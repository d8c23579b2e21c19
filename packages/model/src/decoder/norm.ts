import type { NormDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import type { DecoderScope } from './scope.js';

/**
 * Normalises the last axis (`size` long) and scales it. Always computed in float32: squares overflow in half precision.
 *
 * RMS: x / √(mean(x²) + ε) · (w + offset), Zhang & Sennrich, arXiv 1910.07467. Written as Pow, ReduceMean, Add, Sqrt, Div, Mul because onnxruntime recognises exactly
 * this sequence and runs it as one kernel.
 * Layer: (x − mean) / √(variance + ε) · w + b, Ba et al., arXiv 1607.06450.
 */
export function addNorm(scope: DecoderScope, norm: NormDescription, x: Value, size: number): Value {
  const { builder } = scope;
  const stored = scope.parameter(`${norm.module}.weight`, [size], 'float32');
  const weight = norm.weightOffset === 0 ? stored : builder.add(stored, norm.weightOffset);
  const wide = builder.cast(x, 'float32');
  const normalised = norm.kind === 'rms' ? rms(scope, norm, wide, weight) : layer(scope, norm, wide, weight, size);
  return builder.cast(normalised, scope.dtype);
}

function rms({ builder }: DecoderScope, norm: NormDescription, x: Value, weight: Value): Value {
  const meanSquare = builder.reduceMean(builder.pow(x, 2), [-1], true);
  const root = builder.sqrt(builder.add(meanSquare, norm.epsilon));
  return builder.mul(builder.div(x, root), weight);
}

function layer(scope: DecoderScope, norm: NormDescription, x: Value, weight: Value, size: number): Value {
  const bias = norm.bias ? scope.parameter(`${norm.module}.bias`, [size], 'float32') : undefined;
  return scope.builder.op('LayerNormalization', [x, weight, bias], { axis: -1, epsilon: norm.epsilon });
}
