import { type Dimension } from '@pare/core';
import { multiplyDimensions } from '../types/dimension.js';
import { integersFrom, knownLength, unify, unknownRank, unknownShape } from './rules.js';
import { attribute, defineOperator, int, string, type InferenceContext, type InferredOutput, type OperatorSchema } from './schema.js';
import { floats, indices, numeric } from './types.js';

/* Operators that shrink axes, and those that normalise or scan along them. */

/** Shape after reducing `axes`; all axes when undefined. */
function reducedShape(context: InferenceContext, axes: readonly number[] | undefined, keepDimensions: boolean): Dimension[] | undefined {
  const shape = context.shape(0);
  if (shape === undefined) return undefined;
  const reduced = new Set((axes ?? shape.map((_, axis) => axis)).map((axis) => context.axis(axis, shape.length)));
  return shape.flatMap((dimension, axis) => (reduced.has(axis) ? (keepDimensions ? [1] : []) : [dimension]));
}

function reduce(context: InferenceContext): readonly InferredOutput[] {
  const keep = context.int('keepdims') !== 0;
  const shape = context.shape(0);
  const axes = integersFrom(context, 1, 'axes');
  if (axes === 'unknown') {
    const count = knownLength(context, 1);
    if (shape === undefined || (!keep && count === undefined)) return unknownRank;
    return [{ shape: unknownShape(context, keep ? shape.length : shape.length - count!) }];
  }
  if (axes === undefined || axes.length === 0) {
    if (context.int('noop_with_empty_axes') === 1) return [{ shape, value: context.elements(0) }];
    return [{ shape: reducedShape(context, undefined, keep) }];
  }
  return [{ shape: reducedShape(context, axes, keep) }];
}

const reduction = (name: string, types = numeric): OperatorSchema =>
  defineOperator(name, {
    inputs: 'data:T axes?:int64',
    outputs: 'reduced:T',
    types: { T: types },
    // The attribute `axes` up to operator set 17 (12 for ReduceSum), the input since.
    attributes: { axes: attribute('ints'), keepdims: int(1), noop_with_empty_axes: int(0) },
    infer: name === 'ReduceProd' ? reduceProduct : reduce,
  });

/** The product of a shape's elements is the usual way to count them. */
function reduceProduct(context: InferenceContext): readonly InferredOutput[] {
  const [output] = reduce(context);
  const elements = context.elements(0);
  if (context.shape(0)?.length !== 1 || elements === undefined || output?.value !== undefined) return [output!];
  const product = elements.reduce((left, right) => (left === undefined || right === undefined ? undefined : multiplyDimensions(left, right)), 1);
  return [{ ...output!, value: [product] }];
}

function argument(context: InferenceContext): readonly InferredOutput[] {
  return [{ shape: reducedShape(context, [context.int('axis')], context.int('keepdims') !== 0) }];
}

function topK(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return [{ shape }, { shape }];
  const axis = context.axis(context.int('axis'), shape.length);
  const attributeK = context.attribute('k');
  const k = context.inputs[1] === undefined ? (attributeK as number | undefined) : context.elements(1)?.[0];
  const size = shape[axis]!;
  if (k === undefined && context.inputs[1] === undefined) context.fail('needs k');
  if (typeof k === 'number' && (k < 0 || (typeof size === 'number' && k > size))) context.fail(`k is ${String(k)}, the axis has ${String(size)} elements`);
  const result = shape.map((dimension, index) => (index === axis ? (k ?? context.unknown(0, axis)) : dimension));
  return [{ shape: result }, { shape: result }];
}

/** Checks the axis and keeps the shape. */
function alongAxis(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape !== undefined) context.axis(context.int('axis'), shape.length);
  return [{ shape }];
}

/** Input [N, C, d…], labels [N, d…], optional weights [C]; loss is a scalar or [N, d…], log-probabilities have the input's shape. */
function softmaxCrossEntropy(context: InferenceContext): readonly InferredOutput[] {
  const scores = context.shape(0);
  const labels = context.shape(1);
  const weights = context.shape(2);
  if (scores !== undefined && scores.length < 2) context.fail('scores need a batch and a class axis');
  if (scores !== undefined && weights !== undefined) {
    if (weights.length !== 1) context.fail('weights need one axis');
    unify(context, weights[0]!, scores[1]!, 'weights and classes');
  }
  if (scores !== undefined && labels !== undefined) {
    if (labels.length !== scores.length - 1) context.fail('labels need the rank of the scores less one');
    labels.forEach((dimension, axis) => unify(context, dimension, scores[axis === 0 ? 0 : axis + 1]!, 'labels and scores'));
  }
  return [{ shape: context.string('reduction') === 'none' ? labels : [] }, { shape: scores }];
}

export const reductionOperators: readonly OperatorSchema[] = [
  ...['ReduceSum', 'ReduceMean', 'ReduceProd', 'ReduceSumSquare', 'ReduceL2'].map((name) => reduction(name)),
  ...['ReduceMax', 'ReduceMin'].map((name) => reduction(name, [...numeric, 'bool'])),
  defineOperator('ArgMax', {
    inputs: 'data:T',
    outputs: 'reduced:int64',
    types: { T: numeric },
    attributes: { axis: int(0), keepdims: int(1), select_last_index: int(0) },
    infer: argument,
  }),
  defineOperator('TopK', {
    inputs: 'X:T K?:int64',
    outputs: 'Values:T Indices:int64',
    types: { T: numeric },
    // `k` is an attribute up to operator set 9.
    attributes: { axis: int(-1), k: int(), largest: int(1), sorted: int(1) },
    infer: topK,
  }),
  ...['Softmax', 'LogSoftmax'].map((name) =>
    defineOperator(name, { inputs: 'input:T', outputs: 'output:T', types: { T: floats }, attributes: { axis: int(-1) }, infer: alongAxis }),
  ),
  defineOperator('CumSum', {
    inputs: 'x:T axis:T2',
    outputs: 'y:T',
    types: { T: numeric, T2: indices },
    attributes: { exclusive: int(0), reverse: int(0) },
    infer: (context) => {
      const shape = context.shape(0);
      const axis = context.numbers(1)?.[0];
      if (shape !== undefined && axis !== undefined) context.axis(axis, shape.length);
      return [{ shape }];
    },
  }),
  defineOperator('SoftmaxCrossEntropyLoss', {
    inputs: 'scores:T labels:Tind weights?:T',
    outputs: 'output:T log_prob?:T',
    types: { T: floats, Tind: indices },
    attributes: { ignore_index: int(), reduction: string('mean', ['none', 'sum', 'mean']) },
    infer: softmaxCrossEntropy,
  }),
];
