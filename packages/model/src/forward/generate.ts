import { float32Tensor, type Backend, type Model } from '@pare/core';
import { createBlockRunner } from './block-runner.js';
import { HiddenStates } from './hidden-states.js';

/**
 * Greedy continuation: `ids` followed by `count` tokens, each the likeliest after those before it. Recomputes the whole text for every token, because the
 * runner keeps no cache; for checks and small models.
 */
export async function greedyGenerate(model: Model, backend: Backend, ids: ArrayLike<number>, count: number, signal?: AbortSignal): Promise<Int32Array> {
  // One length for all steps: what stands after the current token is never seen by it.
  const text = new Int32Array(ids.length + count);
  text.set(ids);
  await using runner = createBlockRunner({ model, backend, signal });
  for (let length = ids.length; length < text.length; length++) {
    await using hidden = await runner.embed([text]);
    for (const block of model.description.blocks.keys()) await runner.advance(block, hidden);
    await using last = await lastPosition(hidden, backend, length - 1);
    const [scores] = await runner.logits(last);
    text[length] = argMax(scores!.data as Float32Array);
  }
  return text;
}

/** Hidden states of one position of a single window. */
async function lastPosition(hidden: HiddenStates, backend: Backend, position: number): Promise<HiddenStates> {
  const { hiddenSize } = hidden;
  const values = (await hidden.read(0)).data as Float32Array;
  const single = new HiddenStates({ backend, hiddenSize, chunks: [{ first: 0, count: 1, length: 1 }], spillBytes: Infinity });
  await single.write(0, float32Tensor([1, 1, hiddenSize], values.slice(position * hiddenSize, (position + 1) * hiddenSize)));
  return single;
}

function argMax(values: Float32Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[best]!) best = index;
  return best;
}
