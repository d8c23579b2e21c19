import { float32Tensor, type AttentionDescription, type HostTensor } from '@pare/core';
import type { Value } from '@pare/graph';
import { addNorm } from './norm.js';
import { rotateHeads, type RotaryAngles } from './rotary.js';
import type { DecoderScope } from './scope.js';

/** Queries [batch, heads, positions, headSize], scaled; keys and values [batch, kvHeads, positions, headSize]. Queries and keys are rotated. */
export interface Heads {
  readonly query: Value;
  readonly key: Value;
  readonly value: Value;
}

/** Mixes the values: [batch, kvHeads, heads / kvHeads, positions, headSize]. How positions see each other (causally over a window, or over a cache) is its business. */
export type Mixer = (heads: Heads) => Value;

/**
 * softmax(q·kᵀ/√d + mask)·v over all heads (Vaswani et al., arXiv 1706.03762, §3.2), from normed hidden states x [batch, positions, hidden] to the same shape.
 */
export function addAttention(scope: DecoderScope, attention: AttentionDescription, x: Value, angles: RotaryAngles | undefined, mix: Mixer): Value {
  const { builder } = scope;
  const { heads, headSize } = attention;
  const mixed = mix(addHeads(scope, attention, x, angles));
  const byHead = builder.reshape(mixed, [0, heads, -1, headSize]);
  const merged = builder.reshape(builder.transpose(byHead, [0, 2, 1, 3]), [0, 0, heads * headSize]);
  return scope.linear(merged, attention.output);
}

function addHeads(scope: DecoderScope, attention: AttentionDescription, x: Value, angles: RotaryAngles | undefined): Heads {
  const { builder } = scope;
  const { heads, kvHeads, headSize, rotary } = attention;
  const [query, key, value] = project(scope, attention, x);
  const normed = (states: Value, norm: AttentionDescription['queryNorm']): Value => (norm === undefined ? states : addNorm(scope, norm, states, headSize));
  const front = (states: Value): Value => builder.transpose(states, [0, 2, 1, 3]);
  const rotated = (states: Value): Value => (rotary === undefined || angles === undefined ? states : rotateHeads(scope, rotary, headSize, states, angles));
  const split = (states: Value, count: number): Value => (states.shape?.length === 4 ? states : builder.reshape(states, [0, 0, count, headSize]));
  return {
    // Scaling queries is cheaper than scaling scores: headSize against positions numbers per row.
    query: builder.mul(rotated(front(normed(split(query, heads), attention.queryNorm))), attention.scale),
    key: rotated(front(normed(split(key, kvHeads), attention.keyNorm))),
    value: front(split(value, kvHeads)),
  };
}

/** Query, key and value of x: [batch, positions, features], or [batch, positions, heads, headSize] already. */
function project(scope: DecoderScope, attention: AttentionDescription, x: Value): [Value, Value, Value] {
  const { builder } = scope;
  const { projections, heads, kvHeads, headSize } = attention;
  switch (projections.kind) {
    case 'separate':
      return [scope.linear(x, projections.query), scope.linear(x, projections.key), scope.linear(x, projections.value)];
    case 'concatenated': {
      const [query, key, value] = builder.split(scope.linear(x, projections.fused), -1, [heads * headSize, kvHeads * headSize, kvHeads * headSize]);
      return [query!, key!, value!];
    }
    case 'interleaved': {
      const byHead = builder.reshape(scope.linear(x, projections.fused), [0, 0, heads, 3 * headSize]);
      const [query, key, value] = builder.split(byHead, -1, [headSize, headSize, headSize]);
      return [query!, key!, value!];
    }
  }
}

/** Keys and values that a group of queries shares: [batch, kvHeads, 1, positions, headSize], so that products broadcast instead of copying them to every head. */
function grouped(scope: DecoderScope, attention: AttentionDescription, { query, key, value }: Heads): Heads {
  const { builder } = scope;
  const { heads, kvHeads, headSize } = attention;
  return {
    query: builder.reshape(query, [0, kvHeads, heads / kvHeads, -1, headSize]),
    key: builder.unsqueeze(key, [2]),
    value: builder.unsqueeze(value, [2]),
  };
}

/** softmax(cap(q·kᵀ) + mask)·v of grouped heads. `mask` broadcasts to [batch, kvHeads, group, queries, keys]. */
function attend(scope: DecoderScope, attention: AttentionDescription, { query, key, value }: Heads, mask: Value): Value {
  const { builder } = scope;
  const { softcap } = attention;
  const scores = builder.matmul(query, builder.transpose(key, [0, 1, 2, 4, 3]));
  const capped = softcap === undefined ? scores : addSoftcap(scope, scores, softcap);
  return builder.matmul(builder.softmax(builder.add(capped, mask), -1), value);
}

/** cap · tanh(x / cap): Gemma 2 (arXiv 2408.00118, §2). */
export function addSoftcap(scope: DecoderScope, x: Value, cap: number): Value {
  const { builder } = scope;
  return builder.mul(builder.tanh(builder.div(x, cap)), cap);
}

/**
 * Attention of whole windows whose length is known when the graph is built. Queries are cut into runs, and each run meets only the keys it may see: half of the
 * scores of a long window are never computed. `mask` is `windowMask` of the same length and window.
 */
export function windowMixer(scope: DecoderScope, attention: AttentionDescription, length: number, mask: Value): Mixer {
  const { builder } = scope;
  const [rows, width] = windowMaskShape(length, attention.slidingWindow);
  return (heads) => {
    const { query, key, value } = grouped(scope, attention, heads);
    const runs: Value[] = [];
    for (let start = 0; start < length; start += rows) {
      const end = Math.min(length, start + rows);
      const first = attention.slidingWindow === undefined ? 0 : Math.max(0, start - attention.slidingWindow + 1);
      const part = (states: Value, from: number, to: number): Value => (from === 0 && to === length ? states : builder.slice(states, 3, from, to));
      const seen = builder.slice(builder.slice(mask, 0, rows - (end - start), rows), 1, width - (end - first), width);
      runs.push(attend(scope, attention, { query: part(query, start, end), key: part(key, first, end), value: part(value, first, end) }, seen));
    }
    return runs.length === 1 ? runs[0]! : builder.concat(runs, 3);
  };
}

/** Queries of a run (about 128, at most eight runs), and keys that the longest run meets. */
export function windowMaskShape(length: number, slidingWindow: number | undefined): [rows: number, width: number] {
  const rows = Math.min(length, Math.max(128, Math.ceil(length / 8)));
  return [rows, slidingWindow === undefined ? length : Math.min(length, rows + slidingWindow - 1)];
}

/**
 * The mask of every run of queries in one: counted from the last row up and the last column to the left, key k is visible to query q when 0 ≤ k − q < window. A run of r
 * queries over n keys takes the last r rows and n columns. 0 where visible.
 */
export function windowMask(length: number, slidingWindow: number | undefined, maskedScore: number): HostTensor {
  const [rows, width] = windowMaskShape(length, slidingWindow);
  const mask = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < width; column++) {
      const distance = width - 1 - column - (rows - 1 - row);
      if (distance < 0 || distance >= (slidingWindow ?? Infinity)) mask[row * width + column] = maskedScore;
    }
  }
  return float32Tensor([rows, width], mask);
}

/**
 * Attention of rows in which the caller decides who sees whom. `mask(start, end)` is for queries start … end − 1 over keys 0 … end − 1 and broadcasts to
 * [batch, 1, 1, queries, keys]: no query may see a key that stands behind it in the row.
 * @param length of the rows where it is known when the graph is built: queries are then cut into runs of `maskedRun`, so that scores of long rows stay small
 */
export function maskedMixer(scope: DecoderScope, attention: AttentionDescription, length: number | undefined, mask: (start: number, end: number | undefined) => Value): Mixer {
  const { builder } = scope;
  return (heads) => {
    const { query, key, value } = grouped(scope, attention, heads);
    if (length === undefined) return attend(scope, attention, { query, key, value }, mask(0, undefined));
    const runs: Value[] = [];
    for (let start = 0; start < length; start += maskedRun) {
      const end = Math.min(length, start + maskedRun);
      const part = (states: Value, from: number): Value => builder.slice(states, 3, from, end);
      runs.push(attend(scope, attention, { query: part(query, start), key: part(key, 0), value: part(value, 0) }, mask(start, end)));
    }
    return runs.length === 1 ? runs[0]! : builder.concat(runs, 3);
  };
}

/** Queries of a run of `maskedMixer`. */
export const maskedRun = 128;

/**
 * Attention over a cache: keys and values of past positions come in, those of all positions go out through `present`.
 * `mask` broadcasts to [batch, 1, 1, positions, past + positions].
 */
export function cacheMixer(
  scope: DecoderScope,
  attention: AttentionDescription,
  past: { readonly key: Value; readonly value: Value },
  mask: Value,
  present: (key: Value, value: Value) => void,
): Mixer {
  const { builder } = scope;
  return (heads) => {
    const key = builder.concat([past.key, heads.key], 2);
    const value = builder.concat([past.value, heads.value], 2);
    present(key, value);
    return attend(scope, attention, grouped(scope, attention, { query: heads.query, key, value }), mask);
  };
}
