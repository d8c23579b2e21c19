import { elementCount, type DType } from '@pare/core';
import { add, convert, divide, less, literal, loopVariable, multiply, narrow, position, remainder, scalarTypeOf, select, size, type Expression, type Reduction } from '../expression/expression.js';
import { atCoordinates, atPosition } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import { count, type LazyTensor } from './lazy-tensor.js';
import { type LoweringCall, type OperatorLowering } from './lowering.js';

/* Operators that read or write at positions held in a tensor. Indices are not checked on the device: one out of range reads or writes some element of the tensor. */

/** An index as a coordinate: negative ones count from the end. */
function coordinateOf(index: Expression, extent: number): Expression {
  const wide = convert('i32', index);
  return select(less(wide, literal('i32', 0)), add(wide, size(extent)), wide);
}

/** out[…, i…, …] = data[…, indices[i…], …]. */
const gather: OperatorLowering = (call) => {
  const [data, indices] = [call.input(0), call.input(1)];
  const axis = call.axis(call.number('axis', 0), data.shape.length);
  const extent = data.shape[axis]!;
  checkIndices(call, indices, extent);
  const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
  return [
    call.lowering.fused(call.name, data.dtype, shape, [call.lowering.settled(data, call.name), indices], ([source, at], coordinates) => {
      const list = coordinates.list();
      const index = at!.at(atCoordinates(at!.shape, list.slice(axis, axis + at!.shape.length)));
      return source!.at(atCoordinates(source!.shape, [...list.slice(0, axis), coordinateOf(index, extent), ...list.slice(axis + at!.shape.length)]));
    }),
  ];
};

/** Indices that the host knows are checked. */
function checkIndices(call: LoweringCall, indices: LazyTensor, extent: number): void {
  for (const index of (indices.host?.data ?? []) as Iterable<number | bigint>) {
    if (Number(index) < -extent || Number(index) >= extent) call.fail(`index ${String(index)} is outside an axis of ${String(extent)}`);
  }
}

/** out[i][j][k] = data[indices[i][j][k]][j][k] for axis 0, and so on. */
const gatherElements: OperatorLowering = (call) => {
  const [data, indices] = [call.input(0), call.input(1)];
  const axis = call.axis(call.number('axis', 0), data.shape.length);
  if (indices.shape.length !== data.shape.length) call.fail(`indices [${indices.shape.join(', ')}] must have the rank of [${data.shape.join(', ')}]`);
  checkIndices(call, indices, data.shape[axis]!);
  return [
    call.lowering.fused(call.name, data.dtype, indices.shape, [call.lowering.settled(data, call.name), indices], ([source, at], coordinates) => {
      const index = coordinateOf(at!.at(coordinates), source!.shape[axis]!);
      return source!.at(atCoordinates(source!.shape, coordinates.list().map((coordinate, other) => (other === axis ? index : coordinate))));
    }),
  ];
};

/** Row-major position of the slice that an index tuple names among the axes from `batch` on. */
function tuplePosition(indices: LazyTensor, tuple: Expression, shape: readonly number[], batch: number): Expression {
  const width = indices.shape.at(-1)!;
  let at: Expression = literal('i32', 0);
  for (let axis = 0; axis < width; axis++) {
    const extent = shape[batch + axis]!;
    const index = coordinateOf(indices.at(atPosition(indices.shape, add(multiply(tuple, size(width)), size(axis)))), extent);
    at = add(multiply(at, size(extent)), index);
  }
  return at;
}

function checkTuples(call: LoweringCall, indices: LazyTensor, shape: readonly number[], batch: number): number {
  const width = indices.shape.at(-1) ?? call.fail('indices must have at least one dimension');
  if (batch + width > shape.length) call.fail(`index tuples of ${String(width)} do not fit [${shape.join(', ')}] after ${String(batch)} batch dimensions`);
  if (indices.host !== undefined) {
    for (const [position, index] of Array.from(indices.host.data as Iterable<number | bigint>, Number).entries()) {
      const extent = shape[batch + (position % width)]!;
      if (index < -extent || index >= extent) call.fail(`index ${String(index)} is outside an axis of ${String(extent)}`);
    }
  }
  return width;
}

const gatherNd: OperatorLowering = (call) => {
  const [data, indices] = [call.input(0), call.input(1)];
  const batch = call.number('batch_dims', 0);
  const width = checkTuples(call, indices, data.shape, batch);
  const run = elementCount(data.shape.slice(batch + width));
  const shape = [...indices.shape.slice(0, -1), ...data.shape.slice(batch + width)];
  const tuplesPerBatch = elementCount(indices.shape.slice(batch, -1));
  const batchSize = elementCount(data.shape.slice(batch));
  return [
    call.lowering.fused(call.name, data.dtype, shape, [call.lowering.settled(data, call.name), call.lowering.settled(indices, call.name)], ([source, at], coordinates) => {
      const linear = coordinates.linear();
      const tuple = divide(linear, size(run));
      const slice = tuplePosition(at!, tuple, data.shape, batch);
      const first = batch === 0 ? literal('i32', 0) : multiply(divide(tuple, size(tuplesPerBatch)), size(batchSize));
      return source!.at(atPosition(source!.shape, add(add(first, multiply(slice, size(run))), remainder(linear, size(run)))));
    }),
  ];
};

const reductions: Readonly<Record<string, Reduction | 'replace'>> = { none: 'replace', add: 'sum', mul: 'product', max: 'maximum', min: 'minimum' };

/** The type that scattering computes in: neighbours in one word must not be written at once. */
function scatterType(dtype: DType): DType {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'uint32' || dtype === 'int64' || dtype === 'uint64' || dtype === 'float64') return dtype;
  switch (scalarTypeOf(dtype)) {
    case 'f32':
      return 'float32';
    case 'i32':
      return 'int32';
    default:
      return 'uint32';
  }
}

/** A copy of data in which lines of updates are combined in order. */
function scattered(
  call: LoweringCall,
  data: LazyTensor,
  lines: number,
  extent: number,
  build: (counter: Expression) => { readonly target: Expression; readonly value: Expression },
): LazyTensor {
  const { lowering } = call;
  const dtype = scatterType(data.dtype);
  const type = scalarTypeOf(dtype);
  const reduction = reductions[call.text('reduction', 'none')] ?? call.fail(`attribute reduction is "${call.text('reduction', 'none')}"; allowed: ${Object.keys(reductions).join(', ')}`);
  if (reduction !== 'replace') computable([data]);
  const result = lowering.compute(call.name, dtype, data.shape, (coordinates) => convert(type, data.at(coordinates)));
  if (lines > 0 && extent > 0 && count(data) > 0) {
    const variable = loopVariable();
    const { target, value } = build(variable);
    lowering.emit(
      { kind: 'lines', name: call.name, dtype, count: lines, extent, variable, mode: 'scatter', reduction, exclusive: false, elements: count(result), target, value: convert(type, value) },
      result.view.buffer,
    );
  }
  if (dtype === data.dtype) return result;
  return lowering.fused(call.name, data.dtype, data.shape, [result], ([wide], coordinates) => narrow(data.dtype, convert(scalarTypeOf(data.dtype), wide!.at(coordinates))));
}

/** Lines run along `axis`: updates that meet in one element share all other coordinates. */
const scatterElements: OperatorLowering = (call) => {
  const data = call.input(0);
  const indices = call.lowering.settled(call.input(1), call.name);
  const updates = call.lowering.settled(call.input(2), call.name);
  if (indices.shape.join() !== updates.shape.join()) call.fail(`indices [${indices.shape.join(', ')}] and updates [${updates.shape.join(', ')}] differ`);
  const axis = call.axis(call.number('axis', 0), data.shape.length);
  checkIndices(call, indices, data.shape[axis]!);
  const extent = indices.shape[axis]!;
  const others = indices.shape.filter((_, other) => other !== axis);
  return [
    scattered(call, data, elementCount(others), extent, (counter) => {
      const rest = [...atPosition(others, position).list()];
      const list = indices.shape.map((_, other) => (other === axis ? counter : rest.shift()!));
      const index = coordinateOf(indices.at(atCoordinates(indices.shape, list)), data.shape[axis]!);
      const target = atCoordinates(data.shape, list.map((coordinate, other) => (other === axis ? index : coordinate))).linear();
      return { target, value: updates.at(atCoordinates(updates.shape, list)) };
    }),
  ];
};

/** Lines go through all index tuples: one line for each element of a slice. */
const scatterNd: OperatorLowering = (call) => {
  const data = call.input(0);
  const indices = call.lowering.settled(call.input(1), call.name);
  const updates = call.lowering.settled(call.input(2), call.name);
  const width = checkTuples(call, indices, data.shape, 0);
  const expected = [...indices.shape.slice(0, -1), ...data.shape.slice(width)];
  if (expected.join() !== updates.shape.join()) call.fail(`updates are [${updates.shape.join(', ')}], expected [${expected.join(', ')}]`);
  const run = elementCount(data.shape.slice(width));
  return [
    scattered(call, data, run, elementCount(indices.shape.slice(0, -1)), (counter) => ({
      target: add(multiply(tuplePosition(indices, counter, data.shape, 0), size(run)), position),
      value: updates.at(atPosition(updates.shape, add(multiply(counter, size(run)), position))),
    })),
  ];
};

export const indexingLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::Gather': gather,
  '::GatherElements': gatherElements,
  '::GatherND': gatherNd,
  '::ScatterElements': scatterElements,
  '::ScatterND': scatterNd,
};

