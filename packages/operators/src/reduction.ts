import { elementCount, hostTensor, type HostTensor } from '@pare/core';
import { fail, input, integers, integersFrom, normalizeAxis, numberAttribute, type Kernel } from './kernel.js';
import { aroundAxis, broadcastIndex, reducedShape } from './shape.js';
import { allocateElements, allocateNumbers, bigints, dtypeRange, elements, fromBigints, fromElements, fromNumbers, isBig, isFloat, numbers } from './values.js';

/* Operators that combine elements along axes. Sums and products accumulate in float64 (BigInt for 64-bit integers), in row-major order. */

function startValue(operator: string, low: number, high: number): number {
  switch (operator) {
    case 'ReduceProd':
      return 1;
    case 'ReduceMax':
      return low;
    case 'ReduceMin':
      return high;
    default:
      return 0;
  }
}

function accumulate(operator: string, total: number, x: number): number {
  switch (operator) {
    case 'ReduceSum':
    case 'ReduceMean':
      return total + x;
    case 'ReduceSumSquare':
    case 'ReduceL2':
      return total + x * x;
    case 'ReduceProd':
      return total * x;
    case 'ReduceMax':
      return Math.max(total, x); // NaN wins
    default:
      return Math.min(total, x); // ReduceMin
  }
}

function accumulateBigint(operator: string, total: bigint, x: bigint): bigint {
  switch (operator) {
    case 'ReduceSum':
    case 'ReduceMean':
      return total + x;
    case 'ReduceSumSquare':
    case 'ReduceL2':
      return total + x * x;
    case 'ReduceProd':
      return total * x;
    case 'ReduceMax':
      return x > total ? x : total;
    default:
      return x < total ? x : total; // ReduceMin
  }
}

function reduce(operator: string, tensor: HostTensor, axes: ReadonlySet<number>, keep: boolean): HostTensor {
  const shape = reducedShape(tensor.shape, axes, keep);
  const into = broadcastIndex(reducedShape(tensor.shape, axes, true), tensor.shape);
  const count = elementCount(shape);
  const perResult = count === 0 ? 0 : elementCount(tensor.shape) / count;
  if (isBig(tensor.dtype)) {
    const source = bigints(tensor);
    const signed = tensor.dtype === 'int64';
    const low = signed ? -(2n ** 63n) : 0n;
    const high = signed ? 2n ** 63n - 1n : 2n ** 64n - 1n;
    const start = operator === 'ReduceMax' ? low : operator === 'ReduceMin' ? high : operator === 'ReduceProd' ? 1n : 0n;
    const totals = (signed ? new BigInt64Array(count) : new BigUint64Array(count)).fill(start);
    for (let index = 0; index < source.length; index++) {
      const target = into?.[index] ?? index;
      totals[target] = accumulateBigint(operator, totals[target]!, source[index]!);
    }
    for (let index = 0; index < count; index++) {
      if (operator === 'ReduceMean' && perResult > 0) totals[index] = totals[index]! / BigInt(perResult);
      if (operator === 'ReduceL2') totals[index] = BigInt(Math.trunc(Math.sqrt(Number(totals[index]!))));
    }
    return fromBigints(tensor.dtype, shape, totals);
  }
  const source = numbers(tensor);
  const [low, high] = dtypeRange(tensor.dtype);
  const totals = new Float64Array(count).fill(startValue(operator, low, high));
  for (let index = 0; index < source.length; index++) {
    const target = into === undefined ? index : into[index]!;
    totals[target] = accumulate(operator, totals[target]!, source[index]!);
  }
  for (let index = 0; index < count; index++) {
    if (operator === 'ReduceMean') totals[index]! /= perResult;
    if (operator === 'ReduceL2') totals[index] = Math.sqrt(totals[index]!);
  }
  return fromNumbers(tensor.dtype, shape, totals);
}

/** Axes are an input since opset 13 (ReduceSum) or 18 (the others), an attribute before. None or an empty list means all, unless noop_with_empty_axes. */
const reduceKernel: Kernel = (call) => {
  const data = input(call, 0);
  const { operator } = call.node;
  if (data.dtype === 'bool' && operator !== 'ReduceMax' && operator !== 'ReduceMin') fail(call, `${operator} of bool is not defined`);
  const given = integersFrom(call, 1, 'axes') ?? [];
  if (given.length === 0 && numberAttribute(call, 'noop_with_empty_axes', 0) !== 0) return [data];
  const axes = new Set(given.length === 0 ? data.shape.keys() : given.map((axis) => normalizeAxis(call, axis, data.shape.length)));
  return [reduce(operator, data, axes, numberAttribute(call, 'keepdims', 1) !== 0)];
};

/** Position of the largest element along an axis; the first of equals, or the last with select_last_index. */
const argMax: Kernel = (call) => {
  const data = input(call, 0);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 0), data.shape.length);
  const keep = numberAttribute(call, 'keepdims', 1) !== 0;
  const last = numberAttribute(call, 'select_last_index', 0) !== 0;
  const { outer, size, inner } = aroundAxis(data.shape, axis);
  if (size === 0) fail(call, `axis ${String(axis)} is empty`);
  const values = isBig(data.dtype) ? bigints(data) : numbers(data);
  const result = new BigInt64Array(outer * inner);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      let best = 0;
      for (let i = 1; i < size; i++) {
        const order = compareNanFirst(values[(o * size + i) * inner + n]!, values[(o * size + best) * inner + n]!, 1);
        if (order > 0 || (last && order === 0)) best = i;
      }
      result[o * inner + n] = BigInt(best);
    }
  }
  return [hostTensor('int64', reducedShape(data.shape, new Set([axis]), keep), result)];
};

/** −1, 0 or 1; NaN counts as the most extreme value in the direction `sign`, as NumPy's argmax and sort have it. */
function compareNanFirst(x: number | bigint, y: number | bigint, sign: number): number {
  if (x !== x) return y !== y ? 0 : sign;
  if (y !== y) return -sign;
  return x > y ? 1 : x < y ? -1 : 0;
}

/** The k largest or smallest along an axis with their positions; equal values keep their order. k is an attribute before opset 10. */
const topK: Kernel = (call) => {
  const data = input(call, 0);
  const rank = data.shape.length;
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', -1), rank);
  const given = call.inputs[1];
  const k = given === undefined ? (numberAttribute(call, 'k') ?? fail(call, 'k is missing')) : integers(given)[0]!;
  const sign = numberAttribute(call, 'largest', 1) !== 0 ? 1 : -1;
  const { outer, size, inner } = aroundAxis(data.shape, axis);
  if (k < 0 || k > size) fail(call, `k = ${String(k)} of ${String(size)} elements along axis ${String(axis)}`);
  const values = isBig(data.dtype) ? bigints(data) : numbers(data);
  const source = elements(data);
  const kept = allocateElements(data.dtype, outer * k * inner);
  const positions = new BigInt64Array(outer * k * inner);
  const order = new Array<number>(size);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      for (let i = 0; i < size; i++) order[i] = i;
      const base = o * size * inner + n;
      order.sort((i, j) => -sign * compareNanFirst(values[base + i * inner]!, values[base + j * inner]!, sign) || i - j);
      for (let i = 0; i < k; i++) {
        const target = (o * k + i) * inner + n;
        kept[target] = source[base + order[i]! * inner]!;
        positions[target] = BigInt(order[i]!);
      }
    }
  }
  const shape = data.shape.map((dimension, position) => (position === axis ? k : dimension));
  return [fromElements(data.dtype, shape, kept), hostTensor('int64', shape, positions)];
};

/** Running sum along an axis: exclusive leaves out the element itself, reverse starts from the end. */
const cumSum: Kernel = (call) => {
  const x = input(call, 0);
  const axis = normalizeAxis(call, integers(input(call, 1))[0] ?? 0, x.shape.length);
  const exclusive = numberAttribute(call, 'exclusive', 0) !== 0;
  const reverse = numberAttribute(call, 'reverse', 0) !== 0;
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const position = (o: number, i: number, n: number): number => (o * size + (reverse ? size - 1 - i : i)) * inner + n;
  if (isBig(x.dtype)) {
    const source = bigints(x);
    const result = source.slice();
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        let total = 0n;
        for (let i = 0; i < size; i++) {
          const at = position(o, i, n);
          const value = source[at]!;
          result[at] = exclusive ? total : total + value;
          total += value;
        }
      }
    }
    return [fromBigints(x.dtype, x.shape, result)];
  }
  const source = numbers(x);
  const result = isFloat(x.dtype) ? allocateNumbers(x.dtype, source.length) : new Float64Array(source.length);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      let total = 0;
      for (let i = 0; i < size; i++) {
        const at = position(o, i, n);
        const value = source[at]!;
        result[at] = exclusive ? total : total + value;
        total += value;
      }
    }
  }
  return [fromNumbers(x.dtype, x.shape, result)];
};

const reductions = ['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL2', 'ReduceSumSquare'];

export const reduction: readonly (readonly [string, Kernel])[] = [
  ...reductions.map((name) => [`::${name}`, reduceKernel] as const),
  ['::ArgMax', argMax],
  ['::TopK', topK],
  ['::CumSum', cumSum],
];
