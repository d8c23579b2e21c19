import { type Backend, type DeviceTensor, type Model } from '@pare/core';
import { expertModeOn } from '@pare/model';
import { DecoderGradients, decoderSegments, loadParameters, logitsOnly, type Batch } from '@pare/training';

/** A model on the device that is asked for its predictions and does not learn. */
export class TeacherLogits implements AsyncDisposable {
  readonly #decoder: DecoderGradients;
  /** The teacher's, in float32 on the device. */
  readonly parameters: ReadonlyMap<string, DeviceTensor>;

  private constructor(decoder: DecoderGradients, parameters: ReadonlyMap<string, DeviceTensor>) {
    this.#decoder = decoder;
    this.parameters = parameters;
  }

  static async load(backend: Backend, model: Model, signal?: AbortSignal): Promise<TeacherLogits> {
    const segments = decoderSegments({ description: model.description, experts: expertModeOn(backend, model.description), loss: logitsOnly });
    const parameters = await loadParameters(backend, model, segments);
    return new TeacherLogits(new DecoderGradients({ backend, segments, parameters, trainable: new Set(), recompute: true, signal }), parameters);
  }

  /** float32 [windows, length, vocabulary], on the device; the caller's to dispose. @throws PARE_ABORTED */
  async logits({ ids }: Pick<Batch, 'ids'>): Promise<DeviceTensor> {
    const { logits } = await this.#decoder.outputs({ ids, inputs: {} });
    return logits!;
  }

  /** Batches with these logits as the input `teacher`. They live until the next batch is asked for. */
  async *beside(batches: Iterable<Batch> | AsyncIterable<Batch>): AsyncGenerator<Batch> {
    for await (const batch of batches) {
      using teacher = await this.logits(batch);
      yield { ...batch, inputs: { ...batch.inputs, teacher } };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#decoder[Symbol.asyncDispose]();
    for (const tensor of this.parameters.values()) tensor[Symbol.dispose]();
  }
}
