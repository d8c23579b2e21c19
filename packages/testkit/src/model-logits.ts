import type { Backend, Model } from '@pare/core';
import { createBlockRunner } from '@pare/model';

/** Logits of every position of some windows, one window after another: [windows · length · vocabulary]. */
export async function modelLogits(backend: Backend, model: Model, windows: readonly Int32Array[]): Promise<Float32Array> {
  await using runner = createBlockRunner({ model, backend });
  await using hidden = await runner.embed(windows);
  for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
  return Float32Array.from((await runner.logits(hidden)).flatMap(({ data }) => Array.from(data as Float32Array)));
}
