import type { DecoderStep } from '@pare/evaluation';
import type { OnnxDecoder } from '@pare/onnx-decoder';
import type { Decoder } from './schedule.js';

/** A decoder as the schedule drives it. Prompts are the same arbitrary tokens in every run; what follows is the likeliest token. */
export class TimedDecoder implements Decoder {
  readonly #decoder: OnnxDecoder;
  readonly #batch: number;
  #step: DecoderStep | undefined;
  #positions = 0;
  #next: readonly number[] = [];

  constructor(decoder: OnnxDecoder, batch: number) {
    this.#decoder = decoder;
    this.#batch = batch;
  }

  async prefill(promptLength: number): Promise<void> {
    this.#step?.state[Symbol.dispose]();
    this.#step = undefined;
    // A linear congruential sequence (Numerical Recipes): arbitrary, and the same every time.
    let state = 1;
    const prompts = Array.from({ length: this.#batch }, () =>
      Array.from({ length: promptLength }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * this.#decoder.vocabularySize);
      }),
    );
    await this.#run(prompts);
  }

  choose(): void {
    const { logits } = this.#step!;
    const vocabulary = this.#decoder.vocabularySize;
    this.#next = Array.from({ length: this.#batch }, (_, sequence) => {
      const start = (sequence * this.#positions + this.#positions - 1) * vocabulary;
      let best = start;
      for (let index = start + 1; index < start + vocabulary; index++) if (logits[index]! > logits[best]!) best = index;
      return best - start;
    });
  }

  async step(): Promise<void> {
    await this.#run(this.#next.map((token) => [token]));
  }

  async #run(ids: readonly (readonly number[])[]): Promise<void> {
    const before = this.#step?.state;
    this.#step = await this.#decoder.run({ ids }, before);
    this.#positions = ids[0]!.length;
    before?.[Symbol.dispose]();
  }
}
