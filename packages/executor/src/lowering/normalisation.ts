import { elementCount, type DType } from '@pare/core';
import { dtypeOfOnnxCode } from '@pare/graph';
import { add, convert, divide, literal, multiply, narrow, subtract, unary, type Expression } from '../expression/expression.js';
import { atPosition, broadcastTo, type Coordinates } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import { count, isDense, type BufferTensor, type LazyTensor } from './lazy-tensor.js';
import { expanded, reshaped, transposed } from './layout.js';
import type { LoweringCall, OperatorLowering } from './lowering.js';
import { reduceAxes } from './reduction.js';

/* Operators that rescale by statistics of their input. */

const f32 = (value: number): Expression => literal('f32', value);

/** A tensor as float32 in a whole buffer. */
export function denseFloat(call: LoweringCall, tensor: LazyTensor): BufferTensor {
  if (tensor.dtype === 'float32') return call.lowering.dense(tensor, call.name);
  return call.lowering.compute(call.name, 'float32', tensor.shape, (coordinates) => convert('f32', tensor.at(coordinates)));
}

/** The float32 result in the operator's type. */
export function storedAs(call: LoweringCall, dtype: DType, result: LazyTensor): LazyTensor {
  return dtype === 'float32' ? result : call.lowering.fused(call.name, dtype, result.shape, [result], ([value], coordinates) => value!.at(coordinates));
}

/** Softmax over the last axis of [rows, columns]. */
export function softmaxRows(call: LoweringCall, rows: LazyTensor, logarithm: boolean): LazyTensor {
  const { lowering } = call;
  const x = denseFloat(call, rows);
  const [number, columns] = x.shape as [number, number];
  const routine = lowering.target.routines.softmax;
  if (routine !== undefined) {
    const y = lowering.output('float32', x.shape);
    lowering.program(routine({ rows: number, columns, logarithm }, lowering.traits), { x: x.view.buffer, y: y.view.buffer });
    return y;
  }
  const last = new Set([1]);
  const largest = lowering.dense(reduceAxes(call, x, last, true, 'maximum', (element) => element, (combined) => combined), call.name);
  const shifted = lowering.fused(call.name, 'float32', x.shape, [x, largest], ([a, b], coordinates) => subtract(a!.at(coordinates), b!.at(broadcastTo(b!.shape, coordinates))));
  const powers = lowering.compute(call.name, 'float32', x.shape, (coordinates) => unary('exp', shifted.at(coordinates)));
  const sums = lowering.dense(reduceAxes(call, powers, last, true, 'sum', (element) => element, (combined) => combined), call.name);
  return lowering.fused(call.name, 'float32', x.shape, [logarithm ? shifted : powers, sums], ([a, b], coordinates) => {
    const sum = b!.at(broadcastTo(b!.shape, coordinates));
    return logarithm ? subtract(a!.at(coordinates), unary('log', sum)) : divide(a!.at(coordinates), sum);
  });
}

/** Before opset 13 the axis starts the group of axes that are normalised together. */
const softmax: OperatorLowering = (call) => {
  const x = call.input(0);
  computable([x]);
  const logarithm = call.node.operator === 'LogSoftmax';
  const old = call.opset < 13;
  const rank = x.shape.length;
  if (count(x) === 0) return [x];
  const axis = rank === 0 ? 0 : call.axis(call.number('axis', old ? 1 : -1), rank);
  if (old || axis === rank - 1 || rank === 0) {
    const columns = rank === 0 ? 1 : elementCount(old ? x.shape.slice(axis) : x.shape.slice(-1));
    return [storedAs(call, x.dtype, reshaped(softmaxRows(call, reshaped(x, [count(x) / columns, columns]), logarithm), x.shape))];
  }
  const order = [...[...x.shape.keys()].filter((other) => other !== axis), axis];
  const moved = transposed(x, order);
  const columns = x.shape[axis]!;
  const rows = reshaped(softmaxRows(call, reshaped(isDense(moved) ? moved : call.lowering.dense(moved, call.name), [count(x) / columns, columns]), logarithm), moved.shape);
  return [storedAs(call, x.dtype, transposed(rows, x.shape.map((_, other) => order.indexOf(other))))];
};

export interface Normalised {
  readonly y: LazyTensor;
  readonly mean: LazyTensor | undefined;
  readonly inverse: LazyTensor | undefined;
}

/** Layer or RMS normalisation of the rows of [rows, columns] float32; scale and bias [columns]. */
export function normaliseRows(
  call: LoweringCall,
  x: LazyTensor,
  kind: 'layer' | 'rms',
  epsilon: number,
  scale: LazyTensor | undefined,
  bias: LazyTensor | undefined,
  statistics: boolean,
): Normalised {
  const { lowering } = call;
  const [rows, columns] = x.shape as [number, number];
  const source = denseFloat(call, x);
  const routine = lowering.target.routines.normalization;
  if (routine !== undefined) {
    const y = lowering.output('float32', x.shape);
    const mean = statistics && kind === 'layer' ? lowering.output('float32', [rows, 1]) : undefined;
    const inverse = statistics ? lowering.output('float32', [rows, 1]) : undefined;
    const program = routine(
      { rows, columns, epsilon, kind, scale: scale !== undefined, bias: bias !== undefined, mean: mean !== undefined, inverse: inverse !== undefined },
      lowering.traits,
    );
    const operands = { x: source, y, scale: scale && denseFloat(call, scale), bias: bias && denseFloat(call, bias), mean, inverse };
    lowering.program(program, Object.fromEntries(Object.entries(operands).flatMap(([name, tensor]) => (tensor?.view === undefined ? [] : [[name, tensor.view.buffer]]))));
    return { y, mean, inverse };
  }
  const last = new Set([1]);
  const share = (combined: Expression): Expression => divide(combined, { kind: 'scalar', type: 'f32', value: columns });
  const at = (tensor: LazyTensor, coordinates: Coordinates): Expression => tensor.at(broadcastTo(tensor.shape, coordinates));
  const mean = kind === 'rms' ? undefined : lowering.dense(reduceAxes(call, source, last, true, 'sum', (element) => element, share), call.name);
  const centred = mean === undefined ? source : lowering.fused(call.name, 'float32', x.shape, [source, mean], ([a, b], coordinates) => subtract(a!.at(coordinates), at(b!, coordinates)));
  const inverse = lowering.dense(
    reduceAxes(call, centred, last, true, 'sum', (element) => multiply(element, element), (combined) => divide(f32(1), unary('sqrt', add(share(combined), f32(epsilon))))),
    call.name,
  );
  const y = lowering.fused(call.name, 'float32', x.shape, [centred, inverse, ...(scale === undefined ? [] : [scale]), ...(bias === undefined ? [] : [bias])], ([a, b, c, d], coordinates) => {
    const normal = multiply(a!.at(coordinates), at(b!, coordinates));
    const scaled = scale === undefined ? normal : multiply(normal, convert('f32', at(c!, coordinates)));
    return bias === undefined ? scaled : add(scaled, convert('f32', at(d ?? c!, coordinates)));
  });
  return { y, mean, inverse };
}

/** Normalises the axes from `axis` on. */
const layerNormalization: OperatorLowering = (call) => {
  const x = call.input(0);
  const scale = call.input(1);
  const bias = call.inputs[2];
  computable([x, scale, bias]);
  const kind = call.node.operator === 'SimplifiedLayerNormalization' ? 'rms' : 'layer';
  const axis = call.axis(call.number('axis', -1), x.shape.length);
  const inner = x.shape.slice(axis);
  const columns = elementCount(inner);
  const rows = elementCount(x.shape.slice(0, axis));
  const flat = (tensor: LazyTensor | undefined): LazyTensor | undefined => (tensor === undefined ? undefined : reshaped(expanded(call, tensor, inner), [columns]));
  const statistics = call.wants(1) || call.wants(2);
  const { y, mean, inverse } = normaliseRows(call, reshaped(x, [rows, columns]), kind, call.number('epsilon', 1e-5), flat(scale), flat(bias), statistics);
  const outer = [...x.shape.slice(0, axis), ...inner.map(() => 1)];
  const stash = dtypeOfOnnxCode(call.number('stash_type', 1)) ?? 'float32';
  const statistic = (tensor: LazyTensor | undefined): LazyTensor | undefined => (tensor === undefined ? undefined : storedAs(call, stash, reshaped(tensor, outer)));
  const result = storedAs(call, kind === 'rms' ? scale.dtype : x.dtype, reshaped(y, x.shape));
  return kind === 'rms' ? [result, statistic(inverse)] : [result, statistic(mean), statistic(inverse)];
};

/** y = (x − mean) / √(variance + ε) · scale + bias per channel. In training mode the statistics are the batch's. */
const batchNormalization: OperatorLowering = (call) => {
  const x = call.input(0);
  const [scale, bias, runningMean, runningVariance] = [1, 2, 3, 4].map((index) => call.input(index)) as [LazyTensor, LazyTensor, LazyTensor, LazyTensor];
  computable([x, scale, bias, runningMean, runningVariance]);
  const epsilon = call.number('epsilon', 1e-5);
  const momentum = call.number('momentum', 0.9);
  const training = call.number('training_mode', 0) !== 0;
  const channels = x.shape.length > 1 ? x.shape[1]! : 1;
  const placed = (tensor: LazyTensor): LazyTensor => reshaped(tensor, x.shape.length > 1 ? [channels, ...x.shape.slice(2).map(() => 1)] : [1]);
  const { lowering } = call;
  const other = new Set([...x.shape.keys()].filter((axis) => axis !== 1 || x.shape.length < 2));
  const source = training ? lowering.settled(x, call.name) : x;
  const per = (combined: Expression, elements: number): Expression => divide(combined, { kind: 'scalar', type: 'f32', value: elements });
  let mean = runningMean;
  let variance = runningVariance;
  if (training) {
    mean = lowering.dense(reshaped(reduceAxes(call, source, other, false, 'sum', (element) => element, per, 'float32'), [channels]), call.name);
    const centred = lowering.fused(call.name, 'float32', x.shape, [source, placed(mean)], ([a, b], coordinates) => subtract(a!.at(coordinates), b!.at(broadcastTo(b!.shape, coordinates))));
    variance = lowering.dense(reshaped(reduceAxes(call, centred, other, false, 'sum', (element) => multiply(element, element), per, 'float32'), [channels]), call.name);
  }
  const y = lowering.fused(call.name, x.dtype, x.shape, [source, ...[mean, variance, scale, bias].map(placed)], ([value, ...parameters], coordinates) => {
    const [m, v, s, b] = parameters.map((tensor) => tensor.at(broadcastTo(tensor.shape, coordinates))) as [Expression, Expression, Expression, Expression];
    return add(multiply(subtract(value!.at(coordinates), m), divide(s, unary('sqrt', add(v, f32(epsilon))))), b);
  });
  if (!training) return [y];
  const blend = (running: LazyTensor, batch: LazyTensor): LazyTensor =>
    lowering.fused(call.name, running.dtype, running.shape, [running, batch], ([a, b], coordinates) =>
      narrow(running.dtype, add(multiply(a!.at(coordinates), f32(momentum)), multiply(b!.at(atPosition(b!.shape, coordinates.linear())), f32(1 - momentum)))),
    );
  return [y, blend(runningMean, mean), blend(runningVariance, variance)];
};

export const normalisationLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::Softmax': softmax,
  '::LogSoftmax': softmax,
  '::LayerNormalization': layerNormalization,
  '::SimplifiedLayerNormalization': layerNormalization,
  'com.microsoft::SimplifiedLayerNormalization': layerNormalization,
  '::BatchNormalization': batchNormalization,
};

