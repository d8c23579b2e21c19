import { float32Tensor, hostTensor, pareError, type DecoderDescription, type DeviceTensor, type HostTensor, type Model } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import type { RunnerContext } from './context.js';
import { isHalf } from './device-weights.js';
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

/**
 * The same on a device with memory of its own, where the whole table may lie for a while in the half-width type it is stored in: each chunk is a few indices that go there. Undefined
 * where the host does it: for learned positions, other types, and tables that are too large for one value.
 */
export async function deviceEmbedding(
  { backend, executables }: Pick<RunnerContext, 'backend' | 'executables'>,
  { description, modules }: Model,
  source: Model,
  windows: readonly Int32Array[],
): Promise<(Disposable & { chunk(chunk: WindowChunk): Promise<DeviceTensor> }) | undefined> {
  const { embedding, hiddenSize } = description;
  const { separate } = backend.device;
  const info = modules.find(({ name }) => name === embedding.module);
  if (separate === undefined || info === undefined || embedding.positions !== undefined || Math.fround(embedding.scale) !== embedding.scale || !isHalf(info.dtype)) return undefined;
  if (2 * info.shape[0] * info.shape[1] > separate.valueBytes) return undefined;
  const form = await source.weight(embedding.module);
  if (form.form !== 'dense' || form.tensor.dtype !== info.dtype || form.shape[1] !== hiddenSize) return undefined;
  const vocabulary = form.shape[0]!;
  const table = backend.write(form.tensor);
  return {
    async chunk(chunk) {
      const { first, count, length } = chunk;
      const ids = new Int32Array(count * length);
      for (let window = 0; window < count; window++) ids.set(windows[first + window]!, window * length);
      const bad = ids.findIndex((id) => id < 0 || id >= vocabulary);
      if (bad !== -1) throw pareError('PARE_TOKEN_OUT_OF_RANGE', { token: ids[bad]!, window: first + Math.floor(bad / length), position: bad % length, vocabulary });
      const executable = await executables.get(`embed ${info.dtype} ${String(vocabulary)} ${String(length)}`, () => {
        const builder = new GraphBuilder('embed');
        const rows = builder.gather(builder.input('table', info.dtype, [vocabulary, hiddenSize]), builder.input('ids', 'int32', ['batch', length]), 0);
        const wide = builder.cast(rows, 'float32');
        builder.output(embedding.scale === 1 ? wide : builder.mul(wide, embedding.scale), 'hidden');
        return builder.build();
      });
      using places = backend.write(hostTensor('int32', [count, length], ids));
      return (await executable.run({ table, ids: places }))['hidden']!;
    },
    [Symbol.dispose]: () => table[Symbol.dispose](),
  };
}

/** @throws PARE_WINDOW_TOO_LONG when learned positions end before a window does. */
export function checkWindowLengths(description: DecoderDescription, windows: readonly Int32Array[]): void {
  if (description.embedding.positions === undefined) return;
  const longest = windows.reduce((most, window) => Math.max(most, window.length), 0);
  if (longest > description.maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: longest, positions: description.maxPositions });
}
