import type { DecoderDescription } from '@pare/core';
import type { Value } from '@pare/graph';
import type { DecoderScope } from './scope.js';

/**
 * Token embedding: rows of the table, scaled, plus learned positions. ids and positions int64 [batch, positions] → [batch, positions, hidden].
 * `rows` looks tokens up; exports replace it to read a packed table.
 */
export function addEmbedding(scope: DecoderScope, { embedding, hiddenSize, maxPositions }: DecoderDescription, rows: Value, positions: Value): Value {
  const { builder } = scope;
  const scaled = embedding.scale === 1 ? rows : builder.mul(rows, embedding.scale);
  if (embedding.positions === undefined) return scaled;
  const { module, offset } = embedding.positions;
  const table = scope.parameter(`${module}.weight`, [maxPositions + offset, hiddenSize]);
  const index = offset === 0 ? positions : builder.add(positions, offset);
  return builder.add(scaled, builder.gather(table, index, 0));
}
