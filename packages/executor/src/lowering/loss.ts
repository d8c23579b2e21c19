import { elementCount } from '@pare/core';
import { convert, divide, equal, less, literal, multiply, select, size, unary, type Expression } from '../expression/expression.js';
import { atCoordinates, atPosition } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import { count, type LazyTensor } from './lazy-tensor.js';
import { reshaped, transposed } from './layout.js';
import type { OperatorLowering } from './lowering.js';
import { softmaxRows, storedAs } from './normalisation.js';
import { reduceAxes } from './reduction.js';

/**
 * Cross entropy of log-softmax over axis 1 of scores [N, C, …] against class labels [N, …]: lossᵢ = −w[yᵢ] · log p[yᵢ], zero where the label is ignore_index. The mean
 * divides by the sum of the weights used. The second output is log p.
 */
const softmaxCrossEntropy: OperatorLowering = (call) => {
  const scores = call.input(0);
  const labels = call.lowering.settled(call.input(1), call.name);
  const weights = call.inputs[2] === undefined ? undefined : call.lowering.settled(call.inputs[2], call.name);
  computable([scores, weights]);
  const reduction = call.text('reduction', 'mean');
  const ignored = call.attribute('ignore_index') as number | undefined;
  const rank = scores.shape.length;
  if (rank < 2) call.fail(`scores must be [N, C, …], got [${scores.shape.join(', ')}]`);
  const classes = scores.shape[1]!;
  const order = [0, ...[...scores.shape.keys()].slice(2), 1];
  const front = order.slice(0, -1).map((axis) => scores.shape[axis]!);
  const rows = elementCount(front);
  if (count(labels) !== rows) call.fail(`labels [${labels.shape.join(', ')}] do not fit scores [${scores.shape.join(', ')}]`);
  const flat = reshaped(call.lowering.dense(transposed(scores, order), call.name), [rows, classes]);
  const logarithms = softmaxRows(call, flat, true);

  const labelAt = (row: Expression): Expression => convert('i32', labels.at(atPosition(labels.shape, row)));
  const within = (label: Expression): Expression => select(less(label, literal('i32', 0)), literal('i32', 0), select(less(label, size(classes)), label, size(classes - 1)));
  const weightAt = (row: Expression): Expression => {
    const label = labelAt(row);
    const weight = weights === undefined ? literal('f32', 1) : convert('f32', weights.at(atCoordinates(weights.shape, [within(label)])));
    return ignored === undefined ? weight : select(equal(label, literal('i32', ignored)), literal('f32', 0), weight);
  };
  const losses = call.lowering.compute(call.name, 'float32', [rows], (coordinates) => {
    const row = coordinates.linear();
    const loss = unary('negate', logarithms.at(atCoordinates(logarithms.shape, [row, within(labelAt(row))])));
    const weight = weightAt(row);
    // An ignored label costs nothing, whatever the scores are.
    return select(equal(weight, literal('f32', 0)), literal('f32', 0), multiply(weight, loss));
  });
  const total = (tensor: LazyTensor): LazyTensor => call.lowering.dense(reduceAxes(call, tensor, new Set([0]), false, 'sum', (element) => element, (combined) => combined), call.name);
  let loss: LazyTensor = reshaped(losses, labels.shape);
  if (reduction !== 'none') {
    loss = total(losses);
    if (reduction === 'mean') {
      const used = total(call.lowering.compute(call.name, 'float32', [rows], (coordinates) => weightAt(coordinates.linear())));
      loss = call.lowering.fused(call.name, 'float32', [], [loss, used], ([a, b], coordinates) => divide(a!.at(coordinates), b!.at(coordinates)));
    }
  }
  const back = scores.shape.map((_, axis) => order.indexOf(axis));
  return [storedAs(call, scores.dtype, loss), storedAs(call, scores.dtype, transposed(reshaped(logarithms, order.map((axis) => scores.shape[axis]!)), back))];
};

export const lossLowerings: Readonly<Record<string, OperatorLowering>> = { '::SoftmaxCrossEntropyLoss': softmaxCrossEntropy };

