import { float32Tensor, pareError, type DecoderDescription, type HostTensor, type Model } from '@pare/core';
import { moduleRows, tensorRows, type RowTable } from './weights.js';
import type { WindowChunk } from './windows.js';

/** The embedding tables of a model. */
export interface EmbeddingTables {
  /** [vocabulary, hidden]. */
  readonly tokens: RowTable;
  /** [positions, hidden], for learned positions. */
  readonly positions: RowTable | undefined;
}

export async function readEmbeddingTables(model: Model): Promise<EmbeddingTables> {
  const { embedding } = model.description;
  return {
    tokens: await moduleRows(model, embedding.module),
    positions: embedding.positions === undefined ? undefined : tensorRows(await model.tensor(`${embedding.positions.module}.weight`)),
  };
}

/**
 * The first hidden states of a chunk, [windows, length, hidden] float32: looked-up rows, scaled, plus positions. Done on the host, row by row, so that the
 * table, often the model's largest tensor, never has to be converted or moved to the device as a whole.
 * @param places the position of every token of every window; counted from 0 in each when absent
 */
export function embedChunk(
  description: DecoderDescription,
  { tokens, positions }: EmbeddingTables,
  windows: readonly Int32Array[],
  chunk: WindowChunk,
  places?: readonly Int32Array[],
): HostTensor {
  const { hiddenSize, embedding } = description;
  const vocabulary = tokens.shape[0];
  const output = float32Tensor([chunk.count, chunk.length, hiddenSize]);
  const positionRow = new Float32Array(hiddenSize);
  for (let window = 0; window < chunk.count; window++) {
    const ids = windows[chunk.first + window]!;
    for (let position = 0; position < chunk.length; position++) {
      const id = ids[position]!;
      if (id < 0 || id >= vocabulary) throw pareError('PARE_TOKEN_OUT_OF_RANGE', { token: id, window: chunk.first + window, position, vocabulary });
      const start = (window * chunk.length + position) * hiddenSize;
      const row = output.data.subarray(start, start + hiddenSize);
      tokens.read(id, 1, row);
      if (embedding.scale !== 1) for (let index = 0; index < hiddenSize; index++) row[index]! *= embedding.scale;
      if (positions !== undefined) {
        positions.read((places?.[chunk.first + window]![position] ?? position) + embedding.positions!.offset, 1, positionRow);
        for (let index = 0; index < hiddenSize; index++) row[index]! += positionRow[index]!;
      }
    }
  }
  return output;
}

/** @throws PARE_WINDOW_TOO_LONG when learned positions end before a window does. */
export function checkWindowLengths(description: DecoderDescription, windows: readonly Int32Array[]): void {
  if (description.embedding.positions === undefined) return;
  const longest = windows.reduce((most, window) => Math.max(most, window.length), 0);
  if (longest > description.maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: longest, positions: description.maxPositions });
}
