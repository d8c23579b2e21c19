import { elementCount, type DType } from '@pare/core';
import {
  and,
  convert,
  divide,
  equal,
  literal,
  loop,
  loopVariable,
  multiply,
  narrow,
  or,
  position,
  scalarTypeOf,
  select,
  size,
  subtract,
  unary,
  type Expression,
  type Reduction,
  type ScalarType,
} from '../expression/expression.js';
import { atCoordinates, atPosition } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import { count, type BufferTensor, type LazyTensor } from './lazy-tensor.js';
import { reshaped, transposed } from './layout.js';
import { cannotLower, type LoweringCall, type OperatorLowering } from './lowering.js';

/* Operators that combine elements along axes. */

const reductionsOf: Readonly<Record<string, Reduction>> = {
  ReduceSum: 'sum',
  ReduceMean: 'sum',
  ReduceSumSquare: 'sum',
  ReduceL2: 'sum',
  ReduceProd: 'product',
  ReduceMax: 'maximum',
  ReduceMin: 'minimum',
};

/** Elements of a reduction up to which one invocation does it alone. */
const shortReduction = 32;

/** The type that holds a combination in a whole word. */
function wideType(type: ScalarType): DType {
  return ({ f32: 'float32', i32: 'int32', u32: 'uint32', bool: 'uint32', i64: 'int64', u64: 'uint64' } as const)[type];
}

/**
 * Combines `body(element)` along axes, then `finish`es it. Short reductions are a loop of the consumer's kernel; others run by workgroups.
 */
export function reduceAxes(
  call: LoweringCall,
  tensor: LazyTensor,
  axes: ReadonlySet<number>,
  keep: boolean,
  reduction: Reduction,
  body: (element: Expression) => Expression,
  finish: (combined: Expression, elements: number) => Expression,
  dtype = tensor.dtype,
): LazyTensor {
  const { lowering } = call;
  const kept = tensor.shape.map((extent, axis) => (axes.has(axis) ? 1 : extent));
  const shape = keep ? kept : tensor.shape.filter((_, axis) => !axes.has(axis));
  const along = tensor.shape.filter((_, axis) => axes.has(axis));
  const extent = elementCount(along);
  const outputs = elementCount(shape);
  const place = (source: LazyTensor, outer: readonly Expression[], counter: Expression): Expression => {
    const inner = [...atPosition(along, counter).list()];
    return body(source.at(atCoordinates(source.shape, source.shape.map((_, axis) => (axes.has(axis) ? inner.shift()! : outer[axis]!)))));
  };
  if (extent === 0 || extent <= shortReduction || outputs >= 64 * extent) {
    const source = lowering.settled(tensor, call.name);
    return lowering.compute(call.name, dtype, shape, (coordinates) => {
      const outer = atPosition(kept, coordinates.linear()).list();
      return narrow(dtype, convert(scalarTypeOf(dtype), finish(loop(reduction, size(extent), (counter) => place(source, outer, counter)), extent)));
    });
  }
  const source = tensor.loops ? lowering.dense(tensor, call.name) : tensor;
  const variable = loopVariable();
  const inner = place(source, atPosition(kept, position).list(), variable);
  const whole = wideType(inner.type);
  const result = lowering.output(whole, shape);
  lowering.emit({ kind: 'reduce', name: call.name, dtype: whole, count: outputs, extent, reduction, variable, body: inner.type === 'bool' ? convert('u32', inner) : inner }, result.view.buffer);
  return lowering.fused(call.name, dtype, shape, [result], ([sum], coordinates) => narrow(dtype, convert(scalarTypeOf(dtype), finish(sum!.at(coordinates), extent))));
}

const reduceLowering: OperatorLowering = (call) => {
  const data = call.input(0);
  computable([data]);
  const { operator } = call.node;
  const given = call.integersFrom(1, 'axes') ?? [];
  if (given.length === 0 && call.number('noop_with_empty_axes', 0) !== 0) return [data];
  const axes = new Set(given.length === 0 ? data.shape.keys() : given.map((axis) => call.axis(axis, data.shape.length)));
  const keep = call.number('keepdims', 1) !== 0;
  const type = scalarTypeOf(data.dtype);
  const squared = operator === 'ReduceL2' || operator === 'ReduceSumSquare';
  // Small integers are combined in 32 bits, as wide as their sums are ever wrapped from; means and roots of them in float.
  if (operator === 'ReduceL2' && type !== 'f32') cannotLower('the norm of integers');
  const body = (element: Expression): Expression => {
    const value = element.type === 'bool' ? convert('u32', element) : element;
    return squared ? multiply(value, value) : value;
  };
  const finish = (combined: Expression, elements: number): Expression => {
    if (operator === 'ReduceL2') return unary('sqrt', combined);
    if (operator !== 'ReduceMean') return combined;
    return divide(combined, combined.type === 'f32' ? { kind: 'scalar', type: 'f32', value: elements } : literal(combined.type, elements));
  };
  return [reduceAxes(call, data, axes, keep, reductionsOf[operator]!, body, finish)];
};

/** The smallest (or largest) index among those of the largest element; NaN is the largest of all. */
const argMax: OperatorLowering = (call) => {
  const data = call.lowering.settled(call.input(0), call.name);
  computable([data]);
  const axis = call.axis(call.number('axis', 0), data.shape.length);
  const extent = data.shape[axis]!;
  if (extent === 0) call.fail(`axis ${String(axis)} is empty`);
  const last = call.number('select_last_index', 0) !== 0;
  const axes = new Set([axis]);
  const keep = call.number('keepdims', 1) !== 0;
  const largest = call.lowering.dense(reduceAxes(call, data, axes, true, 'maximum', (element) => element, (combined) => combined), call.name);
  const shape = keep ? largest.shape : data.shape.filter((_, other) => other !== axis);
  return [
    call.lowering.compute(call.name, 'int64', shape, (coordinates) => {
      const outer = atPosition(largest.shape, coordinates.linear());
      const target = largest.at(outer);
      const index = loop(last ? 'maximum' : 'minimum', size(extent), (counter) => {
        const element = data.at(atCoordinates(data.shape, outer.list().map((coordinate, other) => (other === axis ? counter : coordinate))));
        const same = element.type === 'f32' ? or(equal(element, target), and(unary('is-nan', element), unary('is-nan', target))) : equal(element, target);
        return select(same, counter, last ? literal('i32', -1) : size(extent));
      });
      return convert('i64', index);
    }),
  ];
};

/** Rows of the elements along one axis: [outer · inner, size], and how to put results of rows back. */
function asRows(call: LoweringCall, data: LazyTensor, axis: number): BufferTensor {
  const order = [...data.shape.keys()].filter((other) => other !== axis);
  return call.lowering.dense(transposed(data, [...order, axis]), call.name);
}

/** Rows [outer…, k] back with k at `axis`. */
function fromRows(rows: LazyTensor, shape: readonly number[], axis: number, k: number): LazyTensor {
  const front = shape.filter((_, other) => other !== axis);
  const order = shape.map((_, other) => (other === axis ? shape.length - 1 : other < axis ? other : other - 1));
  return transposed(reshaped(rows, [...front, k]), order);
}

const topK: OperatorLowering = (call) => {
  const data = call.input(0);
  const routine = call.lowering.target.routines.topK;
  const type = scalarTypeOf(data.dtype);
  if (routine === undefined || data.dtype === 'float64' || type === 'i64' || type === 'u64' || type === 'bool') return cannotLower(`the largest elements of ${data.dtype}`);
  const rank = data.shape.length;
  const axis = call.axis(call.number('axis', -1), rank);
  const columns = data.shape[axis]!;
  const k = call.inputs[1] === undefined ? call.number('k', 1) : call.integers(1)![0]!;
  if (k < 0 || k > columns) call.fail(`k = ${String(k)} of ${String(columns)} elements along axis ${String(axis)}`);
  const wide = wideType(type) as 'float32' | 'int32' | 'uint32';
  const widened = wide === data.dtype ? data : call.lowering.fused(call.name, wide, data.shape, [data], ([source], coordinates) => source!.at(coordinates));
  const rows = asRows(call, widened, axis);
  const number = columns === 0 ? 0 : count(rows) / columns;
  const front = data.shape.filter((_, other) => other !== axis);
  const values = call.lowering.output(wide, [...front, k]);
  const indices = call.lowering.output('int32', [...front, k]);
  const program = routine({ rows: number, columns, k, largest: call.number('largest', 1) !== 0, type: wide }, call.lowering.traits);
  call.lowering.program(program, { x: rows.view.buffer, values: values.view.buffer, indices: indices.view.buffer });
  const kept = fromRows(values, data.shape, axis, k);
  const places = fromRows(indices, data.shape, axis, k);
  return [
    wide === data.dtype ? kept : call.lowering.fused(call.name, data.dtype, kept.shape, [kept], ([source], coordinates) => source!.at(coordinates)),
    call.lowering.fused(call.name, 'int64', places.shape, [places], ([source], coordinates) => convert('i64', source!.at(coordinates))),
  ];
};

const cumSum: OperatorLowering = (call) => {
  const data = call.input(0);
  computable([data]);
  const axis = call.axis(call.integers(1)?.[0] ?? 0, data.shape.length);
  const exclusive = call.number('exclusive', 0) !== 0;
  const reverse = call.number('reverse', 0) !== 0;
  const extent = data.shape[axis]!;
  const source = call.lowering.settled(data, call.name);
  const whole = wideType(scalarTypeOf(data.dtype));
  const result = call.lowering.output(whole, data.shape);
  const others = data.shape.filter((_, other) => other !== axis);
  if (count(data) > 0) {
    const variable = loopVariable();
    const rest = [...atPosition(others, position).list()];
    const along = reverse ? subtract(size(extent - 1), variable) : variable;
    const coordinates = atCoordinates(data.shape, data.shape.map((_, other) => (other === axis ? along : rest.shift()!)));
    call.lowering.emit(
      { kind: 'lines', name: call.name, dtype: whole, count: elementCount(others), extent, variable, mode: 'scan', reduction: 'sum', exclusive, elements: elementCount(data.shape), target: coordinates.linear(), value: source.at(coordinates) },
      result.view.buffer,
    );
  }
  if (whole === data.dtype) return [result];
  return [call.lowering.fused(call.name, data.dtype, data.shape, [result], ([wide], coordinates) => narrow(data.dtype, wide!.at(coordinates)))];
};

export const reductionLowerings: Readonly<Record<string, OperatorLowering>> = {
  ...Object.fromEntries(Object.keys(reductionsOf).map((name) => [`::${name}`, reduceLowering])),
  '::ArgMax': argMax,
  '::TopK': topK,
  '::CumSum': cumSum,
};

