import type { Model } from '@pare/core';
import type * as OnnxRuntime from 'onnxruntime-node';
import type { InferenceSession, Tensor } from 'onnxruntime-node';

/** Token ids of a batch and which of them are padding (on the left). */
export interface PaddedBatch {
  /** [batch][positions]. */
  readonly ids: readonly (readonly number[])[];
  /** [batch][positions]: 1 for text, 0 for padding. */
  readonly mask: readonly (readonly number[])[];
}

/** Runs a written decoder in onnxruntime, keeping its cache between calls as a runtime does. */
export class DecoderSession implements AsyncDisposable {
  readonly #session: InferenceSession;
  readonly #runtime: typeof OnnxRuntime;
  readonly #model: Model;
  readonly #half: boolean;
  #cache: Record<string, Tensor> | undefined;
  #mask: number[][] = [];

  private constructor(runtime: typeof OnnxRuntime, session: InferenceSession, model: Model, half: boolean) {
    this.#runtime = runtime;
    this.#session = session;
    this.#model = model;
    this.#half = half;
  }

  static async open(path: string, model: Model, half: boolean): Promise<DecoderSession> {
    const runtime = await import('onnxruntime-node');
    // A few short runs: weights repacked for speed and memory kept between runs would only add to the peak.
    const session = await runtime.InferenceSession.create(path, { enableCpuMemArena: false, logSeverityLevel: 3, extra: { session: { disable_prepacking: '1' } } });
    return new DecoderSession(runtime, session, model, half);
  }

  /** Logits [batch · positions · vocabulary] of the next tokens; the first call after `reset` starts a text. */
  async next({ ids, mask }: PaddedBatch): Promise<Float32Array> {
    const { Tensor } = this.#runtime;
    const batch = ids.length;
    this.#mask = mask.map((row, index) => [...(this.#mask[index] ?? []), ...row]);
    const length = ids[0]!.length;
    const positions = this.#mask.map((row) => {
      let next = 0;
      return row.map((entry) => (entry === 0 ? 1 : next++)).slice(-length);
    });
    const int64 = (rows: readonly (readonly number[])[]): Tensor => new Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [batch, rows[0]!.length]);
    const feeds = { input_ids: int64(ids), attention_mask: int64(this.#mask), position_ids: int64(positions), ...(this.#cache ?? this.#emptyCache(batch)) };
    const outputs = await this.#session.run(feeds);
    this.#cache = Object.fromEntries(Object.entries(outputs).flatMap(([name, tensor]) => (name.startsWith('present.') ? [[name.replace('present', 'past_key_values'), tensor]] : [])));
    return outputs['logits']!.data as Float32Array;
  }

  /** Forgets the text so far. */
  reset(): void {
    this.#cache = undefined;
    this.#mask = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cache = undefined;
    await this.#session.release();
  }

  #emptyCache(batch: number): Record<string, Tensor> {
    const { Tensor } = this.#runtime;
    const empty = ({ kvHeads, headSize }: { kvHeads: number; headSize: number }): Tensor =>
      this.#half ? new Tensor('float16', new Uint16Array(0), [batch, kvHeads, 0, headSize]) : new Tensor('float32', new Float32Array(0), [batch, kvHeads, 0, headSize]);
    return Object.fromEntries(
      this.#model.description.blocks.flatMap(({ attention }, index) => ['key', 'value'].map((part) => [`past_key_values.${String(index)}.${part}`, empty(attention)])),
    );
  }
}
