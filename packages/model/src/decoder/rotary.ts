import { float32Tensor, type RotaryDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import type { DecoderScope } from './scope.js';

/** Cosines and sines of the angles, each broadcastable to [batch, heads, positions, rotating dimensions / 2]. */
export interface RotaryAngles {
  readonly cos: Value;
  readonly sin: Value;
}

/**
 * Angle per position of each rotating pair, [dimensions / 2] float32: θ^(−2i/d) (Su et al., arXiv 2104.09864, §3.2.2), then scaled.
 * `linear` divides all by the factor. `llama3` divides low frequencies (wavelength above originalMaxPositions / lowFrequencyFactor), keeps high ones, and blends between
 * (Llama 3.1 release, `apply_scaling`).
 */
export function rotaryFrequencies(rotary: RotaryDescription): Float32Array {
  const { theta, dimensions, scaling } = rotary;
  return Float32Array.from({ length: dimensions / 2 }, (_, pair) => {
    const frequency = Math.fround(1 / theta ** ((2 * pair) / dimensions));
    switch (scaling.kind) {
      case 'none':
        return frequency;
      case 'linear':
        return frequency / scaling.factor;
      case 'llama3': {
        const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions } = scaling;
        const turns = (originalMaxPositions * frequency) / (2 * Math.PI);
        if (turns < low) return frequency / factor;
        if (turns > high) return frequency;
        const smooth = (turns - low) / (high - low);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      }
    }
  });
}

/** Angles of positions 0 … count − 1 as constants [count, dimensions / 2]. Products are rounded to float32 like those of the original implementations. */
export function constantAngles(scope: DecoderScope, rotary: RotaryDescription, count: number): RotaryAngles {
  const frequencies = rotaryFrequencies(rotary);
  const half = frequencies.length;
  const table = (wave: (angle: number) => number): Value => {
    const values = new Float32Array(count * half);
    for (let position = 0; position < count; position++) {
      for (let pair = 0; pair < half; pair++) values[position * half + pair] = wave(Math.fround(position * frequencies[pair]!));
    }
    return scope.builder.cast(scope.builder.constant(float32Tensor([count, half], values)), scope.dtype);
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Angles of positions known when the graph runs: `positions` int64 [batch, positions] → [batch, 1, positions, dimensions / 2]. */
export function computedAngles(scope: DecoderScope, rotary: RotaryDescription, positions: Value): RotaryAngles {
  const { builder } = scope;
  const frequencies = rotaryFrequencies(rotary);
  const columns = builder.unsqueeze(builder.cast(positions, 'float32'), [1, 3]);
  const angles = builder.mul(columns, builder.constant(float32Tensor([frequencies.length], frequencies)));
  return {
    cos: builder.cast(builder.op('Cos', [angles]), scope.dtype),
    sin: builder.cast(builder.op('Sin', [angles]), scope.dtype),
  };
}

/**
 * Rotates heads [batch, heads, positions, headSize]: pair (i, i + d/2) turns by its angle, (l, r) → (l·cos − r·sin, r·cos + l·sin). Dimensions from d on pass through.
 */
export function rotateHeads({ builder }: DecoderScope, rotary: RotaryDescription, headSize: number, heads: Value, { cos, sin }: RotaryAngles): Value {
  const half = rotary.dimensions / 2;
  const rest = headSize - rotary.dimensions;
  const [left, right, passing] = builder.split(heads, -1, rest === 0 ? [half, half] : [half, half, rest]);
  const turned = [
    builder.sub(builder.mul(left!, cos), builder.mul(right!, sin)),
    builder.add(builder.mul(right!, cos), builder.mul(left!, sin)),
  ];
  return builder.concat(passing === undefined ? turned : [...turned, passing], -1);
}
