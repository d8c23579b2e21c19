import type { AttentionDescription, DecoderDescription, RotaryDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import { cacheMixer } from './attention.js';
import { addBlock } from './block.js';
import { addEmbedding } from './embedding.js';
import { addHead } from './head.js';
import { memoize } from './memoize.js';
import type { ExpertMode } from './mlp.js';
import { computedAngles, type RotaryAngles } from './rotary.js';
import type { DecoderScope } from './scope.js';

/** A scope that also looks tokens up, because an export may hold the table packed. */
export interface CachedDecoderScope extends DecoderScope {
  /** Rows of the token embedding: ids int64 [batch, positions] → [batch, positions, hidden]. */
  tokenRows(description: DecoderDescription, ids: Value): Value;
}

/** Names of symbolic sizes, as transformers.js and optimum spell them. */
const batch = 'batch_size';
const sequence = 'sequence_length';
const past = 'past_sequence_length';
const total = 'total_sequence_length';

/**
 * A whole decoder with a key-value cache, in the layout of transformers.js. Inputs: `input_ids` int64 [batch_size, sequence_length], `attention_mask` int64 [batch_size,
 * total_sequence_length] with 0 for padding on either side, `position_ids` int64 [batch_size, sequence_length], and for each block
 * `past_key_values.<i>.key` and `.value` [batch_size, kvHeads, past_sequence_length, headSize]. Outputs: `logits` float32 [batch_size, sequence_length, vocabulary] and
 * `present.<i>.key` and `.value`, the caches with the new positions added. total = past + sequence.
 * @param positionsOut positions that get logits: all, or only the last one, [batch_size, 1, vocabulary]
 */
export function addCachedDecoder(scope: CachedDecoderScope, description: DecoderDescription, experts: ExpertMode, positionsOut: 'all' | 'last' = 'all'): void {
  const { builder, dtype } = scope;
  const ids = builder.input('input_ids', 'int64', [batch, sequence]);
  const attended = builder.input('attention_mask', 'int64', [batch, total]);
  const positions = builder.input('position_ids', 'int64', [batch, sequence]);
  const caches = description.blocks.map(({ attention: { kvHeads, headSize } }, index) => {
    const cache = (part: string): Value => builder.input(`past_key_values.${String(index)}.${part}`, dtype, [batch, kvHeads, past, headSize]);
    return { key: cache('key'), value: cache('value') };
  });

  // Blocks with equal windows share a mask, blocks with equal rotary embeddings the angles.
  const angles = memoize((rotary: RotaryDescription): RotaryAngles => computedAngles(scope, rotary, positions));
  const masks = memoize((window: number | null): Value => cacheMask(scope, ids, attended, window ?? undefined));
  const present: { name: string; value: Value }[] = [];

  let hidden = addEmbedding(scope, description, scope.tokenRows(description, ids), positions);
  for (const [index, block] of description.blocks.entries()) {
    const { attention } = block;
    const keep = (key: Value, value: Value): void => {
      present.push({ name: `present.${String(index)}.key`, value: key }, { name: `present.${String(index)}.value`, value });
    };
    hidden = addBlock(scope, block, hidden, {
      hiddenSize: description.hiddenSize,
      angles: attention.rotary === undefined ? undefined : angles(attention.rotary),
      mix: cacheMixer(scope, attention, caches[index]!, masks(attention.slidingWindow ?? null), keep),
      experts,
    });
  }
  const read = positionsOut === 'all' ? hidden : builder.slice(hidden, 1, -1);
  builder.output(builder.cast(addHead(scope, description, read), 'float32'), 'logits');
  for (const { name, value } of present) builder.output(value, name);
}

/**
 * Mask [batch, 1, 1, sequence, total] of the new positions over all: 0 where the key is not padding, not later than the query and, with a window, fewer than
 * `slidingWindow` positions before it. Places count from the start of the cache, padding included.
 */
function cacheMask(scope: CachedDecoderScope, ids: Value, attended: Value, slidingWindow: AttentionDescription['slidingWindow']): Value {
  const { builder } = scope;
  const size = (value: Value, axis: number): Value => builder.squeeze(builder.shapeOf(value, axis, axis + 1), [0]);
  const [zero, one] = [builder.scalar(0, 'int64'), builder.scalar(1, 'int64')];
  const keys = size(attended, 1);
  const key = builder.op('Range', [zero, keys, one]);
  const query = builder.unsqueeze(builder.op('Range', [builder.sub(keys, size(ids, 1)), keys, one]), [1]);
  const causal = builder.lessOrEqual(key, query);
  const seen = slidingWindow === undefined ? causal : builder.and(causal, builder.greater(key, builder.sub(query, slidingWindow)));
  const visible = builder.and(builder.unsqueeze(builder.cast(attended, 'bool'), [1, 2, 3]), seen);
  return builder.where(visible, builder.scalar(0, scope.dtype), builder.scalar(scope.maskedScore, scope.dtype));
}
