import { elementCount } from '@pare/core';
import { choiceAttribute, fail, input, numberAttribute, shapeText, type Kernel } from './kernel.js';
import { writeSoftmax } from './normalisation.js';
import { fromNumbers, numbers } from './values.js';

/**
 * Cross entropy of log-softmax over axis 1 of scores [N, C, …] against class labels [N, …]: lossᵢ = −w[yᵢ] · log p[yᵢ], zero where the label is
 * ignore_index. The mean divides by the sum of the weights used. The second output is log p.
 */
const softmaxCrossEntropy: Kernel = (call) => {
  const scores = input(call, 0);
  const labels = input(call, 1);
  const weights = call.inputs[2] === undefined ? undefined : numbers(call.inputs[2]);
  const reduction = choiceAttribute(call, 'reduction', ['none', 'sum', 'mean'], 'mean');
  const ignored = numberAttribute(call, 'ignore_index');
  const [batch, classes] = scores.shape;
  if (batch === undefined || classes === undefined) fail(call, `scores must be [N, C, …], got ${shapeText(scores.shape)}`);
  const inner = elementCount(scores.shape.slice(2));
  const target = numbers(labels);
  if (target.length !== batch * inner) fail(call, `labels ${shapeText(labels.shape)} do not fit scores ${shapeText(scores.shape)}`);
  const logarithms = new Float64Array(elementCount(scores.shape));
  writeSoftmax(numbers(scores), batch, classes, inner, true, logarithms);
  const losses = new Float64Array(target.length);
  let total = 0;
  let weightSum = 0;
  for (let index = 0; index < target.length; index++) {
    const label = target[index]!;
    if (label === ignored) continue;
    if (label < 0 || label >= classes) fail(call, `label ${String(label)} is outside ${String(classes)} classes`);
    const weight = weights?.[label] ?? 1;
    losses[index] = -weight * logarithms[(Math.floor(index / inner) * classes + label) * inner + (index % inner)]!;
    total += losses[index]!;
    weightSum += weight;
  }
  const loss =
    reduction === 'none'
      ? fromNumbers(scores.dtype, labels.shape, losses)
      : fromNumbers(scores.dtype, [], Float64Array.of(reduction === 'sum' ? total : total / weightSum));
  return [loss, fromNumbers(scores.dtype, scores.shape, logarithms)];
};

export const loss: readonly (readonly [string, Kernel])[] = [['::SoftmaxCrossEntropyLoss', softmaxCrossEntropy]];
