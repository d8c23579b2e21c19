import { pareError, throwIfAborted, type LogitsPiece, type PredictionOptions, type Predictor } from '@pare/core';
import type { WindowComparison } from '@pare/model';
import { BlockPredictor, createRunner, defaultLogitsBytes, lastStates, Passes } from './block-predictor.js';

export interface PredictionComparison extends PredictionOptions {
  readonly original: Predictor;
  readonly model: Predictor;
  /** Of the original and the model, for messages. */
  readonly names: readonly [original: string, model: string];
  readonly windows: readonly Int32Array[];
}

/**
 * Compares the next-token distributions of two predictors over the same windows. Two models' weights on one backend go block by block and compare their heads side by side in slices of the
 * vocabulary. Others send their logits piece by piece; one window of each is held at most.
 *
 * @throws PARE_VOCABULARY_MISMATCH, PARE_LOGITS_NOT_FINITE naming model, window and position, PARE_ABORTED
 */
export function comparePredictions(comparison: PredictionComparison): Promise<WindowComparison[]> {
  const { original, model } = comparison;
  const sliced = original instanceof BlockPredictor && model instanceof BlockPredictor && original.backend === model.backend;
  return sliced ? compareBlocks(comparison, original, model) : compareStreams(comparison);
}

async function compareBlocks({ windows, signal, logitsBytes, onProgress }: PredictionComparison, original: BlockPredictor, model: BlockPredictor): Promise<WindowComparison[]> {
  const { checkVocabularies, compareHeads, sharedChunkTokens } = await import('@pare/model');
  checkVocabularies(original.model, model.model);
  const chunkTokens = sharedChunkTokens(original.model, model.model);
  // Of each model the embedding and every block pass over the windows once; then both heads do.
  const depths = [original, model].map((side) => side.model.description.blocks.length + 1);
  const total = depths[0]! + depths[1]! + 1;
  const states = async (side: BlockPredictor, name: string, before: number) => {
    const options: PredictionOptions = { signal, onProgress: ({ completed, detail }) => onProgress?.({ completed: before + completed, total, detail: `${name}, ${detail ?? ''}` }) };
    const pass = new Passes(side.model, options);
    await using runner = await createRunner(side, pass, options, chunkTokens);
    return await lastStates(runner, side.model, windows, pass);
  };
  await using originalStates = await states(original, 'original', 0);
  await using modelStates = await states(model, 'model', depths[0]!);
  return await compareHeads({
    original: { model: original.model, hidden: originalStates },
    model: { model: model.model, hidden: modelStates },
    windows,
    backend: model.backend,
    signal,
    logitsBytes,
    onProgress: ({ completed, total: heads }) => onProgress?.({ completed: total - 1 + completed / heads, total, detail: 'heads' }),
  });
}

/** Any two predictors: both send logits of the same positions in the same order, in pieces of whatever size. */
async function compareStreams({ original, model, names, windows, signal, logitsBytes = defaultLogitsBytes, onProgress }: PredictionComparison): Promise<WindowComparison[]> {
  const results = windows.map(
    ({ length }): WindowComparison => ({
      divergence: new Float64Array(length - 1),
      originalLoss: new Float64Array(length - 1),
      loss: new Float64Array(length - 1),
      sameTop: new Uint8Array(length - 1),
    }),
  );
  const options = { signal, logitsBytes: logitsBytes / 2 };
  const total = windows.reduce((sum, { length }) => sum + length - 1, 0);
  let completed = 0;
  const left = new RowReader(original.logits(windows, options), names[0]);
  const right = new RowReader(model.logits(windows, options), names[1]);
  try {
    for (const [window, ids] of windows.entries()) {
      const result = results[window]!;
      for (let position = 0; position + 1 < ids.length; position++) {
        const p = await left.next(window, position);
        const q = await right.next(window, position);
        if (p.length !== q.length) throw pareError('PARE_VOCABULARY_MISMATCH', { original: names[0], expected: p.length, model: names[1], found: q.length });
        const target = ids[position + 1]!;
        const row = compareRows(p, q);
        if (!Number.isFinite(row.originalTotal)) throw pareError('PARE_LOGITS_NOT_FINITE', { model: names[0], window, position });
        if (!Number.isFinite(row.total) || !Number.isFinite(row.divergence)) throw pareError('PARE_LOGITS_NOT_FINITE', { model: names[1], window, position });
        result.divergence[position] = row.divergence;
        result.originalLoss[position] = row.originalTotal - p[target]!;
        result.loss[position] = row.total - q[target]!;
        result.sameTop[position] = row.sameTop ? 1 : 0;
      }
      throwIfAborted(signal, 'the comparison');
      completed += ids.length - 1;
      onProgress?.({ completed, total, detail: `window ${String(window + 1)} of ${String(windows.length)}` });
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
  return results;
}

interface RowComparison {
  readonly divergence: number;
  /** ln Σ exp of the original's logits and of the model's. */
  readonly originalTotal: number;
  readonly total: number;
  readonly sameTop: boolean;
}

/** KL(P ‖ Q) = Σ p (ln p − ln q) of one position, in float64. */
function compareRows(original: Float32Array, model: Float32Array): RowComparison {
  const [p, q] = [summary(original), summary(model)];
  let divergence = 0;
  for (let token = 0; token < original.length; token++) {
    const lnP = original[token]! - p.total;
    divergence += Math.exp(lnP) * (lnP - (model[token]! - q.total));
  }
  // Rounding can leave a sum that is zero in truth a little below.
  return { divergence: divergence < 0 ? 0 : divergence, originalTotal: p.total, total: q.total, sameTop: p.top === q.top };
}

/** ln Σ exp of logits, and the place of the largest, the first of equals. */
export function summary(logits: Float32Array): { readonly total: number; readonly top: number } {
  let top = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[top]!) top = token;
  const peak = logits[top]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - peak);
  return { total: peak + Math.log(sum), top };
}

/** Takes rows of logits out of pieces. */
class RowReader {
  readonly #pieces: AsyncIterator<LogitsPiece>;
  readonly #name: string;
  #piece: LogitsPiece | undefined;

  constructor(pieces: AsyncIterable<LogitsPiece>, name: string) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#name = name;
  }

  async next(window: number, position: number): Promise<Float32Array> {
    while (this.#piece === undefined || this.#piece.window < window || this.#piece.position + this.#piece.rows <= position) {
      const { value, done } = await this.#pieces.next();
      if (done === true) throw new RangeError(`${this.#name} has no logits for position ${String(position)} of window ${String(window)}`);
      this.#piece = value;
    }
    const { logits, rows, position: first } = this.#piece;
    const size = logits.length / rows;
    return logits.subarray((position - first) * size, (position - first + 1) * size);
  }

  async close(): Promise<void> {
    this.#piece = undefined;
    await this.#pieces.return?.();
  }
}
