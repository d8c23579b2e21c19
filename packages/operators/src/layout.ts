import { elementCount, hostTensor, int64Tensor, type HostTensor } from '@pare/core';
import {
  allInputs,
  choiceAttribute,
  commonType,
  fail,
  input,
  integers,
  integersFrom,
  normalizeAxis,
  numberAttribute,
  numbersAttribute,
  shapeText,
  tensorAttribute,
  type Call,
  type Kernel,
} from './kernel.js';
import { permute } from './matrix.js';
import { aroundAxis, broadcastIndex, broadcastShapes, stridedIndex, strides } from './shape.js';
import { allocateElements, elements, fromElements, fromNumbers, isBig, bigints, numbers, takeElements } from './values.js';

/* Operators that make, reshape and rearrange tensors without arithmetic on their elements. */

function reshaped(call: Call, tensor: HostTensor, shape: readonly number[]): HostTensor {
  if (elementCount(shape) !== elementCount(tensor.shape)) fail(call, `${shapeText(tensor.shape)} cannot be reshaped to ${shapeText(shape)}`);
  return { ...tensor, shape: [...shape] };
}

/** 0 keeps the input's size at that place (unless allowzero), −1 takes what is left. */
const reshape: Kernel = (call) => {
  const data = input(call, 0);
  const wanted = integersFrom(call, 1, 'shape') ?? fail(call, 'shape is missing');
  const allowZero = numberAttribute(call, 'allowzero', 0) !== 0;
  const shape = wanted.map((size, axis) =>
    size === 0 && !allowZero ? (data.shape[axis] ?? fail(call, `size 0 at axis ${String(axis)} has no input size to copy`)) : size,
  );
  const open = shape.indexOf(-1);
  if (open >= 0) {
    const rest = elementCount(shape.filter((_, axis) => axis !== open));
    const count = elementCount(data.shape);
    if (rest === 0 || count % rest !== 0) fail(call, `${shapeText(data.shape)} cannot be reshaped to ${shapeText(wanted)}`);
    shape[open] = count / rest;
  }
  if (shape.some((size) => size < 0)) fail(call, `invalid shape ${shapeText(wanted)}`);
  return [reshaped(call, data, shape)];
};

const flatten: Kernel = (call) => {
  const data = input(call, 0);
  const given = numberAttribute(call, 'axis', 1);
  const axis = given < 0 ? given + data.shape.length : given;
  return [reshaped(call, data, [elementCount(data.shape.slice(0, axis)), elementCount(data.shape.slice(axis))])];
};

/** Axes are an attribute before opset 13; without any, every axis of size 1 goes. */
const squeeze: Kernel = (call) => {
  const data = input(call, 0);
  const given = integersFrom(call, 1, 'axes');
  const axes = new Set(given?.map((axis) => normalizeAxis(call, axis, data.shape.length)) ?? [...data.shape.keys()].filter((axis) => data.shape[axis] === 1));
  for (const axis of axes) if (data.shape[axis] !== 1) fail(call, `axis ${String(axis)} of ${shapeText(data.shape)} is not 1`);
  return [
    reshaped(
      call,
      data,
      data.shape.filter((_, axis) => !axes.has(axis)),
    ),
  ];
};

const unsqueeze: Kernel = (call) => {
  const data = input(call, 0);
  const given = integersFrom(call, 1, 'axes') ?? fail(call, 'axes are missing');
  const rank = data.shape.length + given.length;
  const axes = new Set(given.map((axis) => normalizeAxis(call, axis, rank)));
  if (axes.size !== given.length) fail(call, `axes ${shapeText(given)} repeat`);
  const sizes = [...data.shape];
  return [
    reshaped(
      call,
      data,
      Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : sizes.shift()!)),
    ),
  ];
};

const identity: Kernel = (call) => [input(call, 0)];

/** Axes reversed, unless perm says otherwise. */
const transpose: Kernel = (call) => {
  const data = input(call, 0);
  const order = numbersAttribute(call, 'perm') ?? [...data.shape.keys()].reverse();
  if (order.length !== data.shape.length || new Set(order).size !== order.length || order.some((axis) => axis < 0 || axis >= order.length)) {
    fail(call, `perm ${shapeText(order)} is not a permutation of ${String(data.shape.length)} axes`);
  }
  return [permute(data, order)];
};

const concat: Kernel = (call) => {
  const tensors = allInputs(call);
  const dtype = commonType(call, tensors);
  const first = tensors[0]!.shape;
  const axis = normalizeAxis(call, numberAttribute(call, 'axis') ?? fail(call, 'attribute axis is missing'), first.length);
  for (const { shape } of tensors) {
    if (shape.length !== first.length || shape.some((size, other) => other !== axis && size !== first[other])) {
      fail(call, `${shapeText(first)} and ${shapeText(shape)} differ beside axis ${String(axis)}`);
    }
  }
  const shape = first.map((size, other) => (other === axis ? tensors.reduce((sum, tensor) => sum + tensor.shape[axis]!, 0) : size));
  const { outer, size, inner } = aroundAxis(shape, axis);
  const result = allocateElements(dtype, elementCount(shape));
  let start = 0;
  for (const tensor of tensors) {
    const source = elements(tensor);
    const run = tensor.shape[axis]! * inner;
    for (let o = 0; o < outer; o++) result.set(source.subarray(o * run, (o + 1) * run), o * size * inner + start);
    start += run;
  }
  return [fromElements(dtype, shape, result)];
};

function splitSizes(call: Call, size: number): readonly number[] {
  const given = integersFrom(call, 1, 'split');
  if (given !== undefined) return given;
  const parts = numberAttribute(call, 'num_outputs', call.node.outputs.length);
  const chunk = Math.ceil(size / parts);
  return Array.from({ length: parts }, (_, part) => Math.max(0, Math.min(chunk, size - part * chunk)));
}

/** Sizes come from an input (opset 13), an attribute (before), or equal parts of which the last may be smaller (num_outputs, opset 18). */
const split: Kernel = (call) => {
  const data = input(call, 0);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', 0), data.shape.length);
  const { outer, size, inner } = aroundAxis(data.shape, axis);
  const sizes = splitSizes(call, size);
  if (sizes.reduce((sum, part) => sum + part, 0) !== size) fail(call, `parts ${shapeText(sizes)} do not add up to ${String(size)}`);
  const source = elements(data);
  let start = 0;
  return sizes.map((part) => {
    const run = part * inner;
    const result = allocateElements(data.dtype, outer * run);
    for (let o = 0; o < outer; o++) result.set(source.subarray(o * size * inner + start, o * size * inner + start + run), o * run);
    start += run;
    return fromElements(
      data.dtype,
      data.shape.map((dimension, other) => (other === axis ? part : dimension)),
      result,
    );
  });
};

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** x[start:end:step] on the given axes, Python's rules; attributes instead of inputs before opset 10. */
const slice: Kernel = (call) => {
  const data = input(call, 0);
  const rank = data.shape.length;
  const starts = integersFrom(call, 1, 'starts') ?? fail(call, 'starts are missing');
  const ends = integersFrom(call, 2, 'ends') ?? fail(call, 'ends are missing');
  const axes = (integersFrom(call, 3, 'axes') ?? starts.map((_, axis) => axis)).map((axis) => normalizeAxis(call, axis, rank));
  const steps = call.inputs[4] === undefined ? starts.map(() => 1) : integers(call.inputs[4]);
  const shape = [...data.shape];
  const own = strides(data.shape);
  const moves = [...own];
  let offset = 0;
  axes.forEach((axis, position) => {
    const size = data.shape[axis]!;
    const step = steps[position]!;
    if (step === 0) fail(call, 'a step of 0');
    const resolve = (bound: number): number => (bound < 0 ? bound + size : bound);
    const start = clamp(resolve(starts[position]!), step < 0 ? -1 : 0, step < 0 ? size - 1 : size);
    const end = clamp(resolve(ends[position]!), step < 0 ? -1 : 0, size);
    shape[axis] = Math.max(0, Math.ceil((end - start) / step));
    offset += start * own[axis]!;
    moves[axis] = step * own[axis]!;
  });
  return [takeElements(data, stridedIndex(shape, moves, offset), shape)];
};

/** For each position of a result whose coordinate c along an axis comes from coordinate tables[axis][c] of `shape`; −1 where any table says −1. */
function tableIndex(shape: readonly number[], tables: readonly Int32Array[]): Int32Array {
  const steps = strides(shape);
  const index = new Int32Array(elementCount(tables.map((table) => table.length)));
  let length = 1;
  for (let axis = tables.length - 1; axis >= 0; axis--) {
    const table = tables[axis]!;
    // Filled from the last coordinate down, because coordinate 0 overwrites the block that the others copy.
    for (let coordinate = table.length - 1; coordinate >= 0; coordinate--) {
      const from = table[coordinate]!;
      const shift = from * steps[axis]!;
      for (let position = 0; position < length; position++) {
        const inner = index[position]!;
        index[coordinate * length + position] = from < 0 || inner < 0 ? -1 : inner + shift;
      }
    }
    length *= table.length;
  }
  return index;
}

/** Adds `pads` (begins, then ends; negative ones crop) to the given axes: a constant, the edge, a mirror image without the edge, or the other end. */
const pad: Kernel = (call) => {
  const data = input(call, 0);
  const rank = data.shape.length;
  const mode = choiceAttribute(call, 'mode', ['constant', 'reflect', 'edge', 'wrap'], 'constant');
  const pads = integersFrom(call, 1, 'pads') ?? fail(call, 'pads are missing');
  const axes = call.inputs[3] === undefined ? [...data.shape.keys()] : integers(call.inputs[3]).map((axis) => normalizeAxis(call, axis, rank));
  if (pads.length !== 2 * axes.length) fail(call, `${String(pads.length)} pads for ${String(axes.length)} axes`);
  const begins = data.shape.map(() => 0);
  const ends = data.shape.map(() => 0);
  axes.forEach((axis, position) => {
    begins[axis] = pads[position]!;
    ends[axis] = pads[axes.length + position]!;
  });
  const tables = data.shape.map((size, axis) => {
    const length = size + begins[axis]! + ends[axis]!;
    if (length < 0) fail(call, `pads crop axis ${String(axis)} of ${shapeText(data.shape)} below nothing`);
    return Int32Array.from({ length }, (_, coordinate) => padSource(mode, coordinate - begins[axis]!, size));
  });
  const shape = tables.map((table) => table.length);
  const source = elements(data);
  const index = tableIndex(data.shape, tables);
  const result = allocateElements(data.dtype, index.length);
  const filler = padValue(call, data);
  for (let position = 0; position < index.length; position++) result[position] = index[position]! < 0 ? filler : source[index[position]!]!;
  return [fromElements(data.dtype, shape, result)];
};

function padSource(mode: 'constant' | 'reflect' | 'edge' | 'wrap', coordinate: number, size: number): number {
  if (coordinate >= 0 && coordinate < size) return coordinate;
  switch (mode) {
    case 'constant':
      return -1;
    case 'edge':
      return clamp(coordinate, 0, size - 1);
    case 'wrap':
      return ((coordinate % size) + size) % size;
    default: {
      if (size === 1) return 0;
      const period = 2 * (size - 1);
      const folded = ((coordinate % period) + period) % period;
      return folded < size ? folded : period - folded;
    }
  }
}

/** The constant of Pad as an opaque word of the data's type; an attribute before opset 11. */
function padValue(call: Call, data: HostTensor): number {
  const given = call.inputs[2];
  if (given !== undefined) {
    commonType(call, [data, given]);
    return elements(given)[0]!;
  }
  const value = numberAttribute(call, 'value', 0);
  return elements(isBig(data.dtype) ? fromNumbers(data.dtype, [1], Float64Array.of(value)) : fromNumbers(data.dtype, [1], Float32Array.of(value)))[0]!;
}

const tile: Kernel = (call) => {
  const data = input(call, 0);
  const repeats = integers(input(call, 1));
  if (repeats.length !== data.shape.length) fail(call, `${String(repeats.length)} repeats for rank ${String(data.shape.length)}`);
  const tables = data.shape.map((size, axis) => Int32Array.from({ length: size * repeats[axis]! }, (_, coordinate) => coordinate % size));
  return [
    takeElements(
      data,
      tableIndex(data.shape, tables),
      tables.map((table) => table.length),
    ),
  ];
};

/** Broadcasts the data with a shape; either may be the larger along an axis. */
const expand: Kernel = (call) => {
  const data = input(call, 0);
  const wanted = integers(input(call, 1));
  const shape = broadcastShapes([data.shape, wanted]) ?? fail(call, `${shapeText(data.shape)} does not broadcast with ${shapeText(wanted)}`);
  const from = broadcastIndex(data.shape, shape);
  return [from === undefined ? reshaped(call, data, shape) : takeElements(data, from, shape)];
};

const shapeKernel: Kernel = (call) => {
  const { shape } = input(call, 0);
  const rank = shape.length;
  const bound = (value: number): number => clamp(value < 0 ? value + rank : value, 0, rank);
  const part = shape.slice(bound(numberAttribute(call, 'start', 0)), bound(numberAttribute(call, 'end', rank)));
  return [int64Tensor([part.length], part)];
};

const constant: Kernel = (call) => {
  const { attributes } = call.node;
  const tensor = tensorAttribute(call, 'value');
  if (tensor !== undefined) return [tensor];
  if ('value_float' in attributes) return [hostTensor('float32', [], Float32Array.of(numberAttribute(call, 'value_float', 0)))];
  if ('value_int' in attributes) return [int64Tensor([], [numberAttribute(call, 'value_int', 0)])];
  const floats = numbersAttribute(call, 'value_floats');
  if (floats !== undefined) return [hostTensor('float32', [floats.length], Float32Array.from(floats))];
  const ints = numbersAttribute(call, 'value_ints');
  if (ints !== undefined) return [int64Tensor([ints.length], ints)];
  return fail(call, 'a constant needs one of value, value_float, value_floats, value_int, value_ints');
};

const constantOfShape: Kernel = (call) => {
  const shape = integers(input(call, 0));
  if (shape.some((size) => size < 0)) fail(call, `invalid shape ${shapeText(shape)}`);
  const value = tensorAttribute(call, 'value') ?? hostTensor('float32', [1]);
  const result = allocateElements(value.dtype, elementCount(shape));
  result.fill(elements(value)[0]!);
  return [fromElements(value.dtype, shape, result)];
};

/** start, start + delta, … up to but without limit. */
const range: Kernel = (call) => {
  const [start, limit, delta] = [input(call, 0), input(call, 1), input(call, 2)];
  const dtype = commonType(call, [start, limit, delta]);
  const first = numbers(start)[0]!;
  const step = numbers(delta)[0]!;
  if (step === 0) fail(call, 'a delta of 0');
  const count = Math.max(0, Math.ceil((numbers(limit)[0]! - first) / step));
  return [
    fromNumbers(
      dtype,
      [count],
      Float64Array.from({ length: count }, (_, index) => first + index * step),
    ),
  ];
};

/** Keeps elements on and above (upper) or on and below the k-th diagonal of each matrix; zero elsewhere. */
const trilu: Kernel = (call) => {
  const data = input(call, 0);
  if (data.shape.length < 2) fail(call, `needs matrices, got ${shapeText(data.shape)}`);
  const upper = numberAttribute(call, 'upper', 1) !== 0;
  const k = call.inputs[1] === undefined ? 0 : Number(bigints(call.inputs[1])[0]!);
  const [rows, columns] = data.shape.slice(-2) as [number, number];
  const source = elements(data);
  const result = allocateElements(data.dtype, source.length);
  for (let index = 0; index < source.length; index++) {
    const column = index % columns;
    const row = Math.floor(index / columns) % rows;
    if (upper ? column - row >= k : column - row <= k) result[index] = source[index]!;
  }
  return [fromElements(data.dtype, data.shape, result)];
};

/** values[1] where the new axis's coordinate equals the index, values[0] elsewhere; negative indices count from the depth, others are all off. */
const oneHot: Kernel = (call) => {
  const indices = input(call, 0);
  const depth = Math.trunc(numbers(input(call, 1))[0]!);
  const values = input(call, 2);
  if (elementCount(values.shape) !== 2) fail(call, `values must be [off, on], got shape ${shapeText(values.shape)}`);
  const axis = normalizeAxis(call, numberAttribute(call, 'axis', -1), indices.shape.length + 1);
  const shape = [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)];
  const { outer, inner } = aroundAxis(shape, axis);
  const [off, on] = elements(values) as unknown as [number, number];
  const hot = numbers(indices);
  const result = allocateElements(values.dtype, elementCount(shape));
  result.fill(off);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      const given = Math.trunc(hot[o * inner + n]!);
      const index = given < 0 ? given + depth : given;
      if (index >= 0 && index < depth) result[(o * depth + index) * inner + n] = on;
    }
  }
  return [fromElements(values.dtype, shape, result)];
};

export const layout: readonly (readonly [string, Kernel])[] = [
  ['::Reshape', reshape],
  ['::Flatten', flatten],
  ['::Squeeze', squeeze],
  ['::Unsqueeze', unsqueeze],
  ['::Identity', identity],
  ['::Transpose', transpose],
  ['::Concat', concat],
  ['::Split', split],
  ['::Slice', slice],
  ['::Pad', pad],
  ['::Tile', tile],
  ['::Expand', expand],
  ['::Shape', shapeKernel],
  ['::Constant', constant],
  ['::ConstantOfShape', constantOfShape],
  ['::Range', range],
  ['::Trilu', trilu],
  ['::OneHot', oneHot],
];
