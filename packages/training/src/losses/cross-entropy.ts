import { hostTensor, type HostTensor } from '@pare/core';
import { type GraphBuilder, type Value } from '@pare/graph';
import { type Loss } from './loss.js';

/**
 * −log softmax(logits)[target] of every position: logits [batch, length, vocabulary], targets int64 [batch, length, 1] → [batch, length, 1].
 * Targets must lie in the vocabulary, also where a weight of 0 takes them out.
 */
export function addCrossEntropy(builder: GraphBuilder, logits: Value, targets: Value): Value {
  return builder.neg(builder.op('GatherElements', [builder.op('LogSoftmax', [logits], { axis: -1 }), targets], { axis: 2 }));
}

/**
 * Σ w · −log p(target), with inputs `targets` int64 and `weights` float32, both [batch, length, 1]. Weights say which positions count and how much: 1 over the number of those
 * that count, over all batches of a step, makes the mean, however the step is cut into batches.
 */
export const crossEntropy: Loss = {
  key: 'cross-entropy',
  build: (builder, logits, { input }) => {
    const [batch, length] = logits.shape as [string, number];
    const targets = input('targets', 'int64', [batch, length, 1]);
    const weights = input('weights', 'float32', [batch, length, 1]);
    return { loss: builder.reduceSum(builder.mul(addCrossEntropy(builder, logits, targets), weights)) };
  },
};

/**
 * Inputs of `crossEntropy` for windows of equal length: the token after each position, and a weight of 1 over `count` where `mask` (all by default) has the target.
 * @param mask 1 for tokens that are to be predicted, 0 for prompts and padding, by window and position
 * @param count tokens to be predicted in all batches of a step; those of these windows by default
 */
export function nextTokenTargets(windows: readonly Int32Array[], mask?: readonly Uint8Array[], count?: number): { targets: HostTensor; weights: HostTensor } {
  const length = windows[0]?.length ?? 0;
  const targets = new BigInt64Array(windows.length * length);
  const weights = new Float32Array(windows.length * length);
  let counted = 0;
  for (const [window, ids] of windows.entries()) {
    for (let position = 0; position + 1 < length; position++) {
      const at = window * length + position;
      targets[at] = BigInt(ids[position + 1]!);
      weights[at] = mask === undefined ? 1 : mask[window]![position + 1]!;
      counted += weights[at];
    }
  }
  const scale = 1 / Math.max(1, count ?? counted);
  const shape = [windows.length, length, 1];
  return { targets: hostTensor('int64', shape, targets), weights: hostTensor('float32', shape, weights.map((weight) => weight * scale)) };
}
