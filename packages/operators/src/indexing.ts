import { elementCount, type HostTensor } from '@pare/core';
import { choiceAttribute, commonType, fail, input, normalizeAxis, numberAttribute, shapeText, type Call, type Kernel } from './kernel.js';
import { aroundAxis } from './shape.js';
import { allocateElements, bigints, elements, fromBigints, fromElements, fromNumbers, isBig, isFloat, numbers, type Bigints, type Numbers } from './values.js';

/* Operators that read or write at positions held in a tensor. */

/** Positions along an axis of `size`, negative ones counted from the end. */
export function positions(call: Call, indices: HostTensor, size: number): Int32Array {
  const given = numbers(indices);
  const result = new Int32Array(given.length);
  for (let index = 0; index < given.length; index++) {
    const position = given[index]!;
    if (position < -size || position >= size) fail(call, `index ${String(position)} is outside an axis of ${String(size)}`);
    result[index] = position < 0 ? position + size : position;
  }
  return result;
}

/** Whole slices of the data along an axis: out[…, i…, …] = data[…, indices[i…], …]. */
const gather: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 0), data.shape.length);
  const { outer, size, inner } = aroundAxis(data.shape, axis);
  const taken = positions(call, indices, size);
  const source = elements(data);
  const result = allocateElements(data.dtype, outer * taken.length * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < taken.length; i++) {
      const from = (o * size + taken[i]!) * inner;
      const to = (o * taken.length + i) * inner;
      if (inner === 1) result[to] = source[from]!;
      else result.set(source.subarray(from, from + inner), to);
    }
  }
  return [fromElements(data.dtype, [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)], result)];
};

/**
 * For each element of `indices`, the element of a tensor of `shape` at the same coordinates, but with the index along `axis`. The indices'
 * shape may be smaller than the tensor's on the other axes.
 */
function elementPositions(call: Call, indices: HostTensor, shape: readonly number[], axis: number): Int32Array {
  if (indices.shape.length !== shape.length) fail(call, `indices ${shapeText(indices.shape)} must have the rank of ${shapeText(shape)}`);
  const along = positions(call, indices, shape[axis]!);
  const result = new Int32Array(along.length);
  for (let index = 0; index < along.length; index++) {
    let rest = index;
    let step = 1;
    let at = 0;
    for (let dimension = shape.length - 1; dimension >= 0; dimension--) {
      const coordinate = rest % indices.shape[dimension]!;
      rest = (rest - coordinate) / indices.shape[dimension]!;
      at += (dimension === axis ? along[index]! : coordinate) * step;
      step *= shape[dimension]!;
    }
    result[index] = at;
  }
  return result;
}

/** out[i][j][k] = data[indices[i][j][k]][j][k] for axis 0, and so on. */
const gatherElements: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 0), data.shape.length);
  const from = elementPositions(call, indices, data.shape, axis);
  const source = elements(data);
  const result = allocateElements(data.dtype, from.length);
  for (let index = 0; index < from.length; index++) result[index] = source[from[index]!]!;
  return [fromElements(data.dtype, indices.shape, result)];
};

/** First element of the slice that each index tuple (the last axis of `indices`) names, after `batch` leading axes in common. */
function tuplePositions(call: Call, indices: HostTensor, shape: readonly number[], batch: number): { starts: Int32Array; run: number; width: number } {
  const width = indices.shape.at(-1) ?? fail(call, 'indices must have at least one dimension');
  if (batch + width > shape.length) fail(call, `index tuples of ${String(width)} do not fit ${shapeText(shape)} after ${String(batch)} batch dimensions`);
  const given = numbers(indices);
  const run = elementCount(shape.slice(batch + width));
  const tuples = elementCount(indices.shape.slice(0, -1));
  const perBatch = tuples / Math.max(1, elementCount(indices.shape.slice(0, batch)));
  const batchSize = elementCount(shape.slice(batch));
  const starts = new Int32Array(tuples);
  for (let tuple = 0; tuple < tuples; tuple++) {
    let at = 0;
    for (let position = 0; position < width; position++) {
      const size = shape[batch + position]!;
      const index = given[tuple * width + position]!;
      if (index < -size || index >= size) fail(call, `index ${String(index)} is outside an axis of ${String(size)}`);
      at = at * size + (index < 0 ? index + size : index);
    }
    starts[tuple] = Math.floor(tuple / perBatch) * batchSize + at * run;
  }
  return { starts, run, width };
}

const gatherNd: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const batch = numberAttribute(call, 'batch_dims', 0);
  const { starts, run, width } = tuplePositions(call, indices, data.shape, batch);
  const source = elements(data);
  const result = allocateElements(data.dtype, starts.length * run);
  for (let tuple = 0; tuple < starts.length; tuple++) result.set(source.subarray(starts[tuple]!, starts[tuple]! + run), tuple * run);
  return [fromElements(data.dtype, [...indices.shape.slice(0, -1), ...data.shape.slice(batch + width)], result)];
};

type Reduction = 'none' | 'add' | 'mul' | 'max' | 'min';
const reductions: readonly Reduction[] = ['none', 'add', 'mul', 'max', 'min'];

function combine(reduction: Reduction, old: number, update: number): number {
  switch (reduction) {
    case 'add':
      return old + update;
    case 'mul':
      return old * update;
    case 'max':
      return Math.max(old, update);
    default:
      return Math.min(old, update);
  }
}

function combineBigint(reduction: Reduction, old: bigint, update: bigint): bigint {
  switch (reduction) {
    case 'add':
      return old + update;
    case 'mul':
      return old * update;
    case 'max':
      return update > old ? update : old;
    default:
      return update < old ? update : old;
  }
}

/** A copy of the data in which element at[i] is combined with update i, in order, so that repeated positions accumulate. */
function scatter(data: HostTensor, at: Int32Array, updates: HostTensor, reduction: Reduction): HostTensor {
  if (reduction === 'none') {
    const result = elements(data).slice();
    const values = elements(updates);
    for (let index = 0; index < at.length; index++) result[at[index]!] = values[index]!;
    return fromElements(data.dtype, data.shape, result);
  }
  if (isBig(data.dtype)) {
    const result: Bigints = bigints(data).slice();
    const values = bigints(updates);
    for (let index = 0; index < at.length; index++) result[at[index]!] = combineBigint(reduction, result[at[index]!]!, values[index]!);
    return fromBigints(data.dtype, data.shape, result);
  }
  const start = numbers(data);
  const result: Numbers = isFloat(data.dtype) ? Float64Array.from(start) : start.slice();
  const values = numbers(updates);
  for (let index = 0; index < at.length; index++) result[at[index]!] = combine(reduction, result[at[index]!]!, values[index]!);
  return fromNumbers(data.dtype, data.shape, result);
}

const scatterElements: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const updates = input(call, 2);
  commonType(call, [data, updates]);
  if (shapeText(indices.shape) !== shapeText(updates.shape)) fail(call, `indices ${shapeText(indices.shape)} and updates ${shapeText(updates.shape)} differ`);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 0), data.shape.length);
  return [scatter(data, elementPositions(call, indices, data.shape, axis), updates, choiceAttribute(call, 'reduction', reductions, 'none'))];
};

const scatterNd: Kernel = (call) => {
  const data = input(call, 0);
  const indices = input(call, 1);
  const updates = input(call, 2);
  commonType(call, [data, updates]);
  const { starts, run, width } = tuplePositions(call, indices, data.shape, 0);
  const expected = [...indices.shape.slice(0, -1), ...data.shape.slice(width)];
  if (shapeText(expected) !== shapeText(updates.shape)) fail(call, `updates are ${shapeText(updates.shape)}, expected ${shapeText(expected)}`);
  const at = new Int32Array(starts.length * run);
  for (let index = 0; index < at.length; index++) at[index] = starts[Math.floor(index / run)]! + (index % run);
  return [scatter(data, at, updates, choiceAttribute(call, 'reduction', reductions, 'none'))];
};

export const indexing: readonly (readonly [string, Kernel])[] = [
  ['::Gather', gather],
  ['::GatherElements', gatherElements],
  ['::GatherND', gatherNd],
  ['::ScatterElements', scatterElements],
  ['::ScatterND', scatterNd],
];
