import type { Graph } from '@pare/core';
import { GraphBuilder, type Value } from '@pare/graph';
import { largestCode, symmetricZero } from '@pare/weights';
import type { TrialGrid } from './trial-rounding.js';

/** What a graph makes of v = W·diag(s): Q(v)·diag(s)⁻¹, that minus W, the same for v cut off at a share of each group's largest magnitude, or these magnitudes. */
export type Rounded = 'rounded' | 'error' | 'cut' | 'largest';

/**
 * Rounding to nearest as in `roundingError`, in float32: values that lie between two codes to seven digits may get the other one. Inputs `weight` [out, in], `scales` [in], for cuts `share` []; output `values`
 * [out, in], or [out, groups] for magnitudes.
 */
export function roundingGraph(wanted: Rounded, rows: number, columns: number, { bits, symmetric, groupSize }: TrialGrid): Graph {
  const builder = new GraphBuilder('awq-round');
  const most = (a: Value, b: Value | number): Value => builder.op('Max', [a, typeof b === 'number' ? builder.scalar(b) : b]);
  const least = (a: Value, b: Value | number): Value => builder.op('Min', [a, typeof b === 'number' ? builder.scalar(b) : b]);
  const grouped = (value: Value, size: number): Value => builder.reshape(value, [size, columns / groupSize, groupSize]);
  const weight = grouped(builder.input('weight', 'float32', [rows, columns]), rows);
  const scales = grouped(builder.input('scales', 'float32', [columns]), 1);
  const values = builder.mul(weight, scales);
  // With zero in the range.
  let high = most(builder.reduceMax(values, [2], true), 0);
  let low = builder.neg(most(builder.reduceMax(builder.neg(values), [2], true), 0));
  const magnitude = most(builder.neg(low), high);
  if (wanted === 'largest') {
    builder.output(builder.reshape(magnitude, [rows, columns / groupSize]), 'values');
    return builder.build();
  }
  let kept = values;
  if (wanted === 'cut') {
    const limit = builder.mul(magnitude, builder.input('share', 'float32', []));
    low = most(low, builder.neg(limit));
    high = least(high, limit);
    kept = least(most(values, low), high);
  }
  const largest = largestCode(bits);
  // What is cut off on both sides stands halfway between two codes, and so do the extremes of a symmetric grid. Counted from the range they do so to the last bit, and all go the same way.
  const range = symmetric ? most(builder.neg(low), high) : builder.sub(high, low);
  const whole = builder.where(builder.equal(range, 0), 1, range);
  const steps = symmetric ? largest / 2 : largest;
  const scale = builder.div(whole, steps);
  const inSteps = (value: Value): Value => builder.op('Round', [builder.mul(builder.div(value, whole), steps)]);
  const codes = inSteps(kept);
  const zero = symmetric ? undefined : least(inSteps(builder.neg(low)), largest);
  const clamped = zero === undefined ? least(most(codes, -symmetricZero(bits)), largest - symmetricZero(bits)) : least(most(codes, builder.neg(zero)), builder.sub(largest, zero));
  const rounded = builder.mul(clamped, scale);
  const result = builder.div(wanted === 'rounded' ? rounded : builder.sub(rounded, values), scales);
  builder.output(builder.reshape(result, [rows, columns]), 'values');
  return builder.build();
}
