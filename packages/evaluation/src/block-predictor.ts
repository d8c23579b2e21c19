import type { Backend, GenerationRequest, LogitsPiece, Model, PredictionOptions, Predictor } from '@pare/core';
import type { BlockRunner, HiddenStates } from '@pare/model';

/** Bytes of one piece of logits when nobody says. */
export const defaultLogitsBytes = 64 * 2 ** 20;

export interface BlockPredictorOptions {
  readonly model: Model;
  readonly backend: Backend;
}

/** Predicts from a model's weights, block by block: one block is on the device at a time, whatever the depth. Only generation holds all of them. */
export class BlockPredictor implements Predictor {
  readonly model: Model;
  readonly backend: Backend;

  constructor({ model, backend }: BlockPredictorOptions) {
    this.model = model;
    this.backend = backend;
  }

  async negativeLogLikelihood(windows: readonly Int32Array[], options: PredictionOptions = {}): Promise<Float64Array[]> {
    const pass = new Passes(this.model, options);
    await using runner = await createRunner(this, pass, options);
    await using hidden = await lastStates(runner, this.model, windows, pass);
    return await runner.negativeLogLikelihood(hidden, windows);
  }

  async scoreContinuations(groups: Parameters<Predictor['scoreContinuations']>[0], { signal, onProgress }: PredictionOptions = {}): Promise<Float64Array[][]> {
    // The model library is large; what imports this one must not load it.
    const { scoreContinuations } = await import('@pare/model');
    const { model, backend } = this;
    return scoreContinuations({ model, backend, signal, onProgress: (completed, total) => onProgress?.({ completed, total }) }, groups);
  }

  async generate({ onProgress, ...request }: GenerationRequest): Promise<number[][]> {
    const { generateTokens } = await import('@pare/model');
    const { model, backend } = this;
    return generateTokens({ model, backend, ...request, onProgress: (completed, total) => onProgress?.({ completed, total }) });
  }

  async *logits(windows: readonly Int32Array[], options: PredictionOptions = {}): AsyncGenerator<LogitsPiece, void, undefined> {
    const { vocabularySize } = this.model.description;
    const pass = new Passes(this.model, options);
    const chunkTokens = Math.max(1, Math.floor((options.logitsBytes ?? defaultLogitsBytes) / (4 * vocabularySize)));
    await using runner = await createRunner(this, pass, options, chunkTokens);
    await using hidden = await lastStates(runner, this.model, windows, pass);
    let chunk = 0;
    for await (const { data } of runner.eachLogits(hidden)) {
      const { first, count, length } = hidden.chunks[chunk++]!;
      for (let window = 0; window < count; window++) {
        const start = window * length * vocabularySize;
        const rows = length - 1;
        if (rows > 0) yield { window: first + window, position: 0, rows, logits: (data as Float32Array).subarray(start, start + rows * vocabularySize) };
      }
      pass.report({ completed: chunk, total: hidden.chunks.length });
    }
  }
}

/** A predictor over a model's weights. Holds nothing between calls. */
export function blockPredictor(options: BlockPredictorOptions): Predictor {
  return new BlockPredictor(options);
}

/** Counts passes over the windows: embedding, every block, head. */
export class Passes {
  readonly #blocks: number;
  readonly #options: PredictionOptions;
  #pass = 0;

  constructor(model: Model, options: PredictionOptions) {
    this.#blocks = model.description.blocks.length;
    this.#options = options;
  }

  report({ completed, total }: { readonly completed: number; readonly total: number }): void {
    const detail = this.#pass === 0 ? 'embedding' : this.#pass <= this.#blocks ? `block ${String(this.#pass)} of ${String(this.#blocks)}` : 'head';
    this.#options.onProgress?.({ completed: this.#pass + completed / total, total: this.#blocks + 2, detail });
  }

  next(): void {
    this.#pass++;
  }
}

export async function createRunner({ model, backend }: BlockPredictorOptions, pass: Passes, { signal }: PredictionOptions, chunkTokens?: number): Promise<BlockRunner> {
  const { createBlockRunner } = await import('@pare/model');
  return createBlockRunner({ model, backend, signal, chunkTokens, onProgress: (state) => pass.report(state) });
}

/** A model's states after its last block. The caller disposes them. */
export async function lastStates(runner: BlockRunner, model: Model, windows: readonly Int32Array[], pass: Passes): Promise<HiddenStates> {
  const hidden = await runner.embed(windows);
  try {
    pass.next();
    for (const index of model.description.blocks.keys()) {
      await runner.advance(index, hidden);
      pass.next();
    }
    return hidden;
  } catch (error) {
    await hidden[Symbol.asyncDispose]();
    throw error;
  }
}
