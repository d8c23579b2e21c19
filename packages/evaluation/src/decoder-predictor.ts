import { pareError, throwIfAborted, type Continuation, type GenerationRequest, type LogitsPiece, type PredictionOptions, type Predictor } from '@pare/core';
import { defaultLogitsBytes } from './block-predictor.js';
import { summary } from './compare-predictions.js';

/** Keys and values of a batch so far. Disposing frees them. */
export interface DecoderState extends Disposable {
  /** Positions in it, padding included. */
  readonly length: number;
}

/** Tokens of a batch that follow what a state holds. All rows have one length. */
export interface DecoderBatch {
  /** [batch][positions]. */
  readonly ids: readonly ArrayLike<number>[];
  /** Padding at the left of each text, counted from its beginning; none where absent. */
  readonly padding?: readonly number[] | undefined;
}

export interface DecoderStep {
  /** [batch, positions, vocabulary]; valid until the state is disposed. */
  readonly logits: Float32Array;
  readonly state: DecoderState;
}

/** A decoder with key-value cache in whatever runtime. A state is never changed: several texts may go on from one. */
export interface CachedDecoder {
  readonly name: string;
  readonly vocabularySize: number;
  readonly maxPositions: number;
  run(batch: DecoderBatch, past: DecoderState | undefined): Promise<DecoderStep>;
}

/** A predictor over an exported decoder. Long texts go through it in pieces behind its cache, so that logits stay within bounds. */
export function decoderPredictor(decoder: CachedDecoder): Predictor {
  return new DecoderPredictor(decoder);
}

class DecoderPredictor implements Predictor {
  readonly #decoder: CachedDecoder;

  constructor(decoder: CachedDecoder) {
    this.#decoder = decoder;
  }

  async negativeLogLikelihood(windows: readonly Int32Array[], options: PredictionOptions = {}): Promise<Float64Array[]> {
    const losses = windows.map(({ length }) => new Float64Array(Math.max(0, length - 1)));
    const { vocabularySize } = this.#decoder;
    for await (const { window, position, rows, logits } of this.logits(windows, options)) {
      for (let row = 0; row < rows; row++) {
        const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
        losses[window]![position + row] = summary(values).total - values[windows[window]![position + row + 1]!]!;
      }
    }
    return losses;
  }

  async *logits(windows: readonly Int32Array[], options: PredictionOptions = {}): AsyncGenerator<LogitsPiece, void, undefined> {
    for (const [window, ids] of windows.entries()) {
      this.#check(ids, window, ids.length);
      for await (const piece of this.#pieces(ids.subarray(0, -1), undefined, options)) yield { window, ...piece };
      options.onProgress?.({ completed: window + 1, total: windows.length, detail: `window ${String(window + 1)} of ${String(windows.length)}` });
    }
  }

  /** What the continuations of a group begin with in common is computed once. */
  async scoreContinuations(groups: readonly (readonly Continuation[])[], options: PredictionOptions = {}): Promise<Float64Array[][]> {
    const { vocabularySize } = this.#decoder;
    const results: Float64Array[][] = [];
    for (const [index, group] of groups.entries()) {
      for (const { ids, start } of group) {
        if (start < 1 || start >= ids.length) throw new RangeError(`${String(ids.length)} tokens cannot be scored from token ${String(start)}`);
        // The last token is only ever predicted.
        this.#check(ids, index, ids.length - 1);
      }
      const shared = sharedLength(group);
      using prefix = shared === 0 ? undefined : await this.#prefill(group[0]!.ids.subarray(0, shared), options);
      const scores: Float64Array[] = [];
      for (const { ids, start } of group) {
        const values = new Float64Array(ids.length - start);
        for await (const { position, rows, logits } of this.#pieces(ids.subarray(shared, -1), prefix, options)) {
          for (let row = 0; row < rows; row++) {
            const scored = position + row + 1 - start;
            if (scored < 0) continue;
            const row_ = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
            values[scored] = row_[ids[scored + start]!]! - summary(row_).total;
          }
        }
        scores.push(values);
      }
      results.push(scores);
      options.onProgress?.({ completed: index + 1, total: groups.length });
    }
    return results;
  }

  /** Prompts of a batch are padded on the left, as `generateTokens` of the model library pads them. */
  async generate({ prompts, maxNewTokens, batchSize = 16, pick, done, ...options }: GenerationRequest): Promise<number[][]> {
    for (const [index, ids] of prompts.entries()) {
      if (ids.length === 0) throw new RangeError(`prompt ${String(index)} is empty`);
      this.#check(ids, index, ids.length + maxNewTokens - 1);
    }
    const results: number[][] = prompts.map(() => []);
    if (maxNewTokens === 0) return results;
    const order = [...prompts.keys()].sort((left, right) => prompts[left]!.length - prompts[right]!.length || left - right);
    let completed = 0;
    for (let first = 0; first < order.length; first += batchSize) {
      const batch = order.slice(first, first + batchSize);
      await this.#generateBatch(batch, { prompts, maxNewTokens, pick, done, ...options }, results);
      completed += batch.length;
      options.onProgress?.({ completed, total: prompts.length });
    }
    return results;
  }

  async #generateBatch(batch: readonly number[], { prompts, maxNewTokens, pick, done, ...options }: GenerationRequest, results: number[][]): Promise<void> {
    const longest = Math.max(...batch.map((prompt) => prompts[prompt]!.length));
    const padding = batch.map((prompt) => longest - prompts[prompt]!.length);
    const padded = batch.map((prompt, row) => [...new Array<number>(padding[row]!).fill(0), ...prompts[prompt]!]);
    const open = new Set(batch);
    const most = this.#piecePositions(options, batch.length);
    let step: DecoderStep | undefined;
    try {
      let rows: readonly number[][] = padded.map((row) => row.slice(0, most));
      for (let fed = rows[0]!.length; ; fed += rows[0]!.length) {
        throwIfAborted(options.signal, 'generation');
        const next: DecoderStep = await this.#decoder.run({ ids: rows, padding }, step?.state);
        step?.state[Symbol.dispose]();
        step = next;
        if (fed < longest) {
          rows = padded.map((row) => row.slice(fed, fed + most));
          continue;
        }
        const { vocabularySize } = this.#decoder;
        const positions = rows[0]!.length;
        rows = batch.map((prompt, row) => {
          if (!open.has(prompt)) return [0];
          const last = (row + 1) * positions - 1;
          const token = pick(step!.logits.subarray(last * vocabularySize, (last + 1) * vocabularySize), prompt);
          results[prompt]!.push(token);
          if (results[prompt]!.length === maxNewTokens || done(results[prompt]!, prompt)) open.delete(prompt);
          return [token];
        });
        if (open.size === 0) return;
      }
    } finally {
      step?.state[Symbol.dispose]();
    }
  }

  /** Runs tokens behind a state, which stays the caller's, in pieces. */
  async *#pieces(ids: Int32Array, past: DecoderState | undefined, options: PredictionOptions): AsyncGenerator<Omit<LogitsPiece, 'window'>, void, undefined> {
    const most = this.#piecePositions(options, 1);
    let owned: DecoderState | undefined;
    try {
      for (let start = 0; start < ids.length; start += most) {
        throwIfAborted(options.signal, 'evaluation');
        const piece = ids.subarray(start, start + most);
        const position = (past?.length ?? 0) + start;
        const { logits, state }: DecoderStep = await this.#decoder.run({ ids: [piece] }, owned ?? past);
        owned?.[Symbol.dispose]();
        owned = state;
        yield { position, rows: piece.length, logits };
      }
    } finally {
      owned?.[Symbol.dispose]();
    }
  }

  async #prefill(ids: Int32Array, options: PredictionOptions): Promise<DecoderState> {
    const most = this.#piecePositions(options, 1);
    let state: DecoderState | undefined;
    try {
      for (let start = 0; start < ids.length; start += most) {
        throwIfAborted(options.signal, 'evaluation');
        const { state: next }: DecoderStep = await this.#decoder.run({ ids: [ids.subarray(start, start + most)] }, state);
        state?.[Symbol.dispose]();
        state = next;
      }
    } catch (error) {
      state?.[Symbol.dispose]();
      throw error;
    }
    return state!;
  }

  #piecePositions({ logitsBytes = defaultLogitsBytes }: PredictionOptions, batch: number): number {
    return Math.max(1, Math.floor(logitsBytes / (4 * batch * this.#decoder.vocabularySize)));
  }

  /** @param positions that the tokens take in the model */
  #check(ids: Int32Array, window: number, positions: number): void {
    const { maxPositions, vocabularySize } = this.#decoder;
    if (positions > maxPositions) throw pareError('PARE_WINDOW_TOO_LONG', { length: positions, positions: maxPositions });
    const position = ids.findIndex((id) => id < 0 || id >= vocabularySize);
    if (position >= 0) throw pareError('PARE_TOKEN_OUT_OF_RANGE', { token: ids[position]!, window, position, vocabulary: vocabularySize });
  }
}

/** Tokens that all continuations of a group begin with, as far as none of them needs predictions made within. */
function sharedLength(group: readonly Continuation[]): number {
  const [first, ...others] = group;
  if (first === undefined) return 0;
  let length = Math.min(...group.map(({ start }) => start - 1));
  for (const { ids } of others) {
    for (let index = 0; index < length; index++) if (ids[index] !== first.ids[index]) length = index;
  }
  return length;
}
