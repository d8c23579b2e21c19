import { allocateArray, fromBfloat16Bits, fromFloat16Bits, isHostInitializer, toBfloat16Bits, toFloat16Bits, type Dimension, type DType, type HostTensor } from '@pare/core';
import { dtypeOfOnnxCode, onnxTypeName } from '../types/element-type.js';
import { elementsOf } from '../types/known-elements.js';
import {
  addDimensions,
  alwaysAtMost,
  broadcastShapes,
  ceilDivide,
  dimensionProduct,
  divideExactly,
  maximumDimension,
  minimumDimension,
  multiplyDimensions,
  sameDimension,
  subtractDimensions,
  unifyDimensions,
} from '../types/dimension.js';
import { integersFrom, knownLength, shapeText, unify, unknownRank, unknownShape, withRank, type KnownElement } from './rules.js';
import { attribute, defineOperator, float, int, maximumKnownElements, required, string, type InferenceContext, type InferredOutput, type OperatorSchema } from './schema.js';
import { everything, indices, numeric, wholeBytes } from './types.js';

/* Operators that rearrange, select, create or measure tensors. */

/** Values at or beyond this stand for "to the end" in Slice, as exporters write INT64_MAX or INT32_MAX. */
const endless = 2 ** 31 - 1;

function shapeOperator(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return [{ shape: [context.unknown(0, 0)] }];
  const clamp = (value: number): number => Math.min(Math.max(value < 0 ? value + shape.length : value, 0), shape.length);
  const start = clamp(context.int('start'));
  const end = clamp((context.attribute('end') as number | undefined) ?? shape.length);
  const value = shape.slice(start, Math.max(start, end));
  return [{ shape: [value.length], value }];
}

function reshape(context: InferenceContext): readonly InferredOutput[] {
  const input = context.shape(0);
  const wanted = context.inputs[1] === undefined ? context.ints('shape') : context.elements(1);
  if (wanted === undefined) {
    const rank = knownLength(context, 1);
    return rank === undefined ? unknownRank : [{ shape: unknownShape(context, rank) }];
  }
  const allowZero = context.int('allowzero') === 1;
  const shape: (Dimension | undefined)[] = [];
  let open: number | undefined;
  for (const [axis, element] of wanted.entries()) {
    if (element === -1) {
      if (open !== undefined) context.fail('two sizes of the new shape are -1');
      open = axis;
      shape.push(undefined);
    } else if (element === 0 && !allowZero) {
      if (input === undefined) shape.push(context.unknown(0, axis));
      else if (axis >= input.length) context.fail(`size 0 at axis ${String(axis)} copies an axis that ${shapeText(input)} lacks`);
      else shape.push(input[axis]);
    } else if (typeof element === 'number' && element < 0) context.fail(`size ${String(element)} in the new shape`);
    else shape.push(element ?? context.unknown(0, axis));
  }
  if (open !== undefined) shape[open] = remainingSize(context, input, shape as Dimension[], open);
  const result = shape as Dimension[];
  if (input !== undefined) {
    const before = dimensionProduct(input);
    const after = dimensionProduct(result);
    if (typeof before === 'number' && typeof after === 'number' && before !== after) context.fail(`${shapeText(input)} has ${String(before)} elements, ${shapeText(result)} has ${String(after)}`);
  }
  // Lists and scalars keep their elements.
  return [{ shape: result, value: result.length <= 1 ? context.elements(0) : undefined }];
}

/** The size that −1 stands for: the input's elements over the product of the other sizes. */
function remainingSize(context: InferenceContext, input: readonly Dimension[] | undefined, shape: readonly Dimension[], open: number): Dimension {
  if (input === undefined) return context.unknown(0, open);
  const rest = dimensionProduct(shape.filter((_, axis) => axis !== open));
  const total = dimensionProduct(input);
  if (rest === 0) return total === 0 ? 0 : context.fail(`cannot infer a size of ${shapeText(input)} beside a size of 0`);
  const size = divideExactly(total, rest);
  if (size !== undefined) return size;
  if (typeof total === 'number' && typeof rest === 'number') context.fail(`${String(total)} elements do not divide by ${String(rest)}`);
  return context.unknown(0, open);
}

function flatten(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return [{ shape: unknownShape(context, 2) }];
  const given = context.int('axis');
  const axis = given === shape.length ? given : context.axis(given, Math.max(1, shape.length));
  return [{ shape: [dimensionProduct(shape.slice(0, axis)), dimensionProduct(shape.slice(axis))] }];
}

function transpose(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  const permutation = context.ints('perm');
  if (shape === undefined) return permutation === undefined ? unknownRank : [{ shape: unknownShape(context, permutation.length) }];
  const order = permutation ?? shape.map((_, axis) => shape.length - 1 - axis);
  if (order.length !== shape.length || new Set(order).size !== order.length || order.some((axis) => axis < 0 || axis >= shape.length)) {
    context.fail(`perm [${order.join(', ')}] is no permutation of the ${String(shape.length)} axes of ${shapeText(shape)}`);
  }
  return [{ shape: order.map((axis) => shape[axis]!), value: shape.length <= 1 ? context.elements(0) : undefined }];
}

function squeeze(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  const axes = integersFrom(context, 1, 'axes');
  if (shape === undefined || axes === 'unknown') {
    const count = knownLength(context, 1);
    return shape === undefined || count === undefined ? unknownRank : [{ shape: unknownShape(context, shape.length - count) }];
  }
  if (axes === undefined && shape.some((dimension) => typeof dimension === 'string')) return unknownRank;
  const removed = new Set(axes === undefined ? shape.flatMap((dimension, axis) => (dimension === 1 ? [axis] : [])) : axes.map((axis) => context.axis(axis, shape.length)));
  for (const axis of removed) if (typeof shape[axis] === 'number' && shape[axis] !== 1) context.fail(`axis ${String(axis)} of ${shapeText(shape)} is not 1`);
  const result = shape.filter((_, axis) => !removed.has(axis));
  return [{ shape: result, value: context.elements(0) }];
}

function unsqueeze(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  const axes = integersFrom(context, 1, 'axes');
  if (axes === undefined) return context.fail('needs axes');
  if (shape === undefined) return unknownRank;
  if (axes === 'unknown') {
    const count = knownLength(context, 1);
    return count === undefined ? unknownRank : [{ shape: unknownShape(context, shape.length + count) }];
  }
  const rank = shape.length + axes.length;
  const inserted = new Set(axes.map((axis) => context.axis(axis, rank)));
  if (inserted.size !== axes.length) context.fail(`axes [${axes.join(', ')}] name one axis twice`);
  let next = 0;
  const result = Array.from({ length: rank }, (_, axis) => (inserted.has(axis) ? 1 : shape[next++]!));
  return [{ shape: result, value: rank <= 1 ? context.elements(0) : undefined }];
}

function concat(context: InferenceContext): readonly InferredOutput[] {
  const shapes = context.inputs.map((_, index) => context.shape(index));
  const first = shapes.find((shape) => shape !== undefined);
  if (first === undefined) return unknownRank;
  if (first.length === 0) context.fail('scalars cannot be concatenated');
  const axis = context.axis(context.int('axis'), first.length);
  const result = [...first];
  let total: Dimension | undefined = 0;
  for (const [index, shape] of shapes.entries()) {
    if (shape === undefined) {
      total = undefined;
      continue;
    }
    if (shape.length !== first.length) context.fail(`inputs 0 and ${String(index)} differ in rank: ${shapeText(first)} and ${shapeText(shape)}`);
    for (let other = 0; other < shape.length; other++) {
      if (other !== axis) result[other] = unify(context, result[other]!, shape[other]!, `axis ${String(other)} of inputs 0 and ${String(index)}`);
    }
    total = total === undefined ? undefined : addDimensions(total, shape[axis]!);
  }
  result[axis] = total ?? context.unknown(0, axis);
  return [{ shape: result, value: first.length === 1 ? concatenatedElements(context) : undefined }];
}

function concatenatedElements(context: InferenceContext): KnownElement[] | undefined {
  const parts: KnownElement[] = [];
  for (const index of context.inputs.keys()) {
    const length = knownLength(context, index);
    if (length === undefined || parts.length + length > maximumKnownElements) return undefined;
    parts.push(...(context.elements(index) ?? new Array<undefined>(length).fill(undefined)));
  }
  return parts;
}

function split(context: InferenceContext): readonly InferredOutput[] {
  const count = context.node.outputs.length;
  const shape = context.shape(0);
  const sizes = integersFrom(context, 1, 'split');
  if (shape === undefined) return Array.from({ length: count }, () => ({ shape: undefined }));
  const axis = context.axis(context.int('axis'), shape.length);
  const total = shape[axis]!;
  const parts = sizes === 'unknown' ? undefined : (sizes ?? equalParts(context, total, count));
  if (parts !== undefined) {
    if (parts.length !== count) context.fail(`has ${String(count)} outputs for ${String(parts.length)} sizes`);
    const sum = parts.reduce<Dimension>(addDimensions, 0);
    if (typeof sum === 'number' && typeof total === 'number' && sum !== total) context.fail(`sizes [${parts.join(', ')}] do not add up to ${String(total)}`);
  }
  const elements = shape.length === 1 ? context.elements(0) : undefined;
  let offset = 0;
  return Array.from({ length: count }, (_, output) => {
    const size = parts?.[output] ?? context.unknown(output, axis);
    const start = offset;
    if (typeof size === 'number') offset += size;
    const value = elements !== undefined && parts?.every((part) => typeof part === 'number') ? elements.slice(start, offset) : undefined;
    return { shape: shape.map((dimension, index) => (index === axis ? size : dimension)), value };
  });
}

/** Parts of ⌈total / count⌉, the last one smaller when it does not divide. */
function equalParts(context: InferenceContext, total: Dimension, count: number): Dimension[] {
  const declared = context.attribute('num_outputs') as number | undefined;
  if (declared !== undefined && declared !== count) context.fail(`num_outputs is ${String(declared)}, the node has ${String(count)} outputs`);
  if (typeof total === 'number' && total % count !== 0 && declared === undefined) context.fail(`${String(total)} does not divide into ${String(count)} equal parts`);
  const part = ceilDivide(total, count);
  const last = subtractDimensions(total, multiplyDimensions(part, count - 1));
  if (typeof last === 'number' && last < 0) context.fail(`${String(total)} does not divide into ${String(count)} parts`);
  return Array.from({ length: count }, (_, index) => (index === count - 1 ? last : part));
}

function slice(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return unknownRank;
  // Attributes up to operator set 9, inputs since.
  const list = (input: number, name: string): readonly KnownElement[] | undefined => (context.inputs[input] === undefined ? context.ints(name) : context.elements(input));
  const starts = list(1, 'starts');
  const ends = list(2, 'ends');
  if (context.inputs[1] === undefined && (starts === undefined || ends === undefined)) context.fail('needs starts and ends');
  const count = starts?.length ?? ends?.length ?? knownLength(context, 1) ?? knownLength(context, 2);
  const axesGiven = context.inputs[3] !== undefined || context.ints('axes') !== undefined;
  const axes = axesGiven ? (context.inputs[3] === undefined ? context.ints('axes') : context.numbers(3)) : count === undefined ? undefined : Array.from({ length: count }, (_, axis) => axis);
  if (axes === undefined) return [{ shape: unknownShape(context, shape.length) }];
  const steps = context.inputs[4] === undefined ? axes.map(() => 1) : context.numbers(4);
  const result = [...shape];
  let range: { start: number; step: number; length: number } | undefined;
  for (const [index, given] of axes.entries()) {
    const axis = context.axis(given, shape.length);
    const step = steps?.[index];
    if (step === 0) context.fail('a step is 0');
    const size = shape[axis]!;
    result[axis] = sliceSize(size, starts?.[index], ends?.[index], step) ?? context.unknown(0, axis);
    const start = starts?.[index];
    if (axes.length === 1 && typeof size === 'number' && typeof start === 'number' && step !== undefined && typeof result[axis] === 'number') {
      range = { start: clampStart(start, size, step), step, length: result[axis] };
    }
  }
  const elements = shape.length === 1 ? context.elements(0) : undefined;
  const value = elements === undefined || range === undefined ? undefined : Array.from({ length: range.length }, (_, index) => elements[range.start + index * range.step]);
  return [{ shape: result, value }];
}

function clampStart(start: number, size: number, step: number): number {
  const counted = start < 0 ? start + size : start;
  return step > 0 ? Math.min(Math.max(counted, 0), size) : Math.min(Math.max(counted, 0), size - 1);
}

/** Elements that [start, end) by step takes from an axis; undefined when that depends on more than can be written down. */
function sliceSize(size: Dimension, start: KnownElement, end: KnownElement, step: number | undefined): Dimension | undefined {
  if (start === undefined || end === undefined || step === undefined) return undefined;
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number') {
    const from = clampStart(start, size, step);
    const counted = end < 0 ? end + size : end;
    const to = step > 0 ? Math.min(Math.max(counted, 0), size) : Math.min(Math.max(counted, -1), size - 1);
    return Math.max(0, Math.ceil((to - from) / step));
  }
  if (step < 0) return sameDimension(start, -1) && typeof end === 'number' && end <= -endless ? ceilDivide(size, -step) : undefined;
  const toEnd = typeof end === 'number' && end >= endless;
  // The last −start elements.
  if (toEnd && typeof start === 'number' && start < 0) return ceilDivide(minimumDimension(-start, size), step);
  if (toEnd && alwaysAtMost(0, start)) return ceilDivide(maximumDimension(0, subtractDimensions(size, start)), step);
  const from = bound(size, start);
  const to = toEnd ? size : bound(size, end);
  if (from === undefined || to === undefined) return undefined;
  if (alwaysAtMost(to, from)) return 0;
  const length = subtractDimensions(to, from);
  return ceilDivide(alwaysAtMost(from, to) ? length : maximumDimension(0, length), step);
}

/** A start or end as a position between 0 and the size. */
function bound(size: Dimension, position: Dimension): Dimension | undefined {
  if (alwaysAtMost(0, position)) return minimumDimension(position, size);
  if (typeof position === 'number' || alwaysAtMost(position, -1)) return maximumDimension(0, addDimensions(size, position));
  return undefined;
}

function gather(context: InferenceContext): readonly InferredOutput[] {
  const data = context.shape(0);
  const at = context.shape(1);
  if (data === undefined || at === undefined) return unknownRank;
  const axis = context.axis(context.int('axis'), data.length);
  const size = data[axis]!;
  const positions = context.numbers(1);
  const wrong = typeof size === 'number' ? positions?.find((position) => position < -size || position >= size) : undefined;
  if (wrong !== undefined) context.fail(`index ${String(wrong)} is outside axis ${String(axis)} of ${shapeText(data)}`);
  const shape = [...data.slice(0, axis), ...at, ...data.slice(axis + 1)];
  const elements = data.length === 1 ? context.elements(0) : undefined;
  const value = elements === undefined || positions === undefined || at.length > 1 ? undefined : positions.map((position) => elements[position < 0 ? position + elements.length : position]);
  return [{ shape, value }];
}

/** data [d₀ … d_{r−1}], indices [i₀ … i_{q−1}], the last axis indexing `batch_dims` + i_{q−1} leading axes of the data. */
function gatherND(context: InferenceContext): readonly InferredOutput[] {
  const data = context.shape(0);
  const at = context.shape(1);
  if (data === undefined || at === undefined) return unknownRank;
  const batch = context.int('batch_dims');
  const depth = at.at(-1);
  if (depth === undefined || data.length === 0) context.fail('data and indices need at least one axis');
  if (typeof depth !== 'number') return unknownRank;
  if (batch + depth > data.length) context.fail(`indices address ${String(depth)} axes after ${String(batch)} batch axes, the data has ${String(data.length)}`);
  return [{ shape: [...at.slice(0, -1), ...data.slice(batch + depth)] }];
}

function scatterND(context: InferenceContext): readonly InferredOutput[] {
  const data = context.shape(0);
  const at = context.shape(1);
  const updates = context.shape(2);
  const depth = at?.at(-1);
  if (data !== undefined && at !== undefined && updates !== undefined && typeof depth === 'number') {
    const wanted = [...at.slice(0, -1), ...data.slice(depth)];
    if (depth > data.length || wanted.length !== updates.length || wanted.some((dimension, axis) => unifyDimensions(dimension, updates[axis]!) === undefined)) {
      context.fail(`updates of shape ${shapeText(updates)}, needed ${shapeText(wanted)}`);
    }
  }
  return [{ shape: data }];
}

/** Indices have the data's rank; the output has theirs (gathering) or the data's shape (scattering). */
function elementwiseIndices(result: 0 | 1): OperatorSchema['infer'] {
  return (context) => {
    const data = context.shape(0);
    const at = context.shape(1);
    if (data !== undefined) context.axis(context.int('axis'), data.length);
    if (data !== undefined && at !== undefined && data.length !== at.length) context.fail(`data ${shapeText(data)} and indices ${shapeText(at)} differ in rank`);
    return [{ shape: result === 0 ? data : at }];
  };
}

function expand(context: InferenceContext): readonly InferredOutput[] {
  const input = context.shape(0);
  const wanted = context.elements(1);
  if (input === undefined) return unknownRank;
  if (wanted === undefined) {
    const length = knownLength(context, 1);
    return length === undefined ? unknownRank : [{ shape: unknownShape(context, Math.max(length, input.length)) }];
  }
  const lead = Math.max(0, input.length - wanted.length);
  const target = wanted.map((element, axis) => element ?? context.unknown(0, axis + lead));
  const shape = broadcastShapes(input, target) ?? context.fail(`${shapeText(input)} does not expand to ${shapeText(target)}`);
  const elements = context.elements(0);
  const length = shape.length === 1 ? shape[0] : undefined;
  const value = elements?.length === 1 && typeof length === 'number' && length <= maximumKnownElements ? new Array<KnownElement>(length).fill(elements[0]) : undefined;
  return [{ shape, value: value ?? (sameLength(elements, shape) ? elements : undefined) }];
}

function sameLength(elements: readonly KnownElement[] | undefined, shape: readonly Dimension[]): boolean {
  return shape.length <= 1 && elements?.length === (shape[0] ?? 1);
}

function tile(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  const repeats = context.elements(1);
  if (shape === undefined) return unknownRank;
  if (repeats !== undefined && repeats.length !== shape.length) context.fail(`${String(repeats.length)} repeats for ${String(shape.length)} axes`);
  return [
    {
      shape: shape.map((dimension, axis) => {
        const count = repeats?.[axis];
        return count === undefined ? context.unknown(0, axis) : multiplyDimensions(dimension, count);
      }),
    },
  ];
}

function pad(context: InferenceContext): readonly InferredOutput[] {
  const shape = context.shape(0);
  if (shape === undefined) return unknownRank;
  const pads = context.inputs[1] === undefined ? context.ints('pads') : context.elements(1);
  if (context.inputs[1] === undefined && pads === undefined) context.fail('needs pads');
  const axes = context.inputs[3] === undefined ? shape.map((_, axis) => axis) : context.numbers(3)?.map((axis) => context.axis(axis, shape.length));
  if (pads === undefined || axes === undefined) return [{ shape: unknownShape(context, shape.length) }];
  if (pads.length !== 2 * axes.length) context.fail(`${String(pads.length)} pads for ${String(axes.length)} axes`);
  const result = [...shape];
  for (const [index, axis] of axes.entries()) {
    const begin = pads[index];
    const end = pads[index + axes.length];
    result[axis] = begin === undefined || end === undefined ? context.unknown(0, axis) : addDimensions(addDimensions(shape[axis]!, begin), end);
  }
  return [{ shape: result }];
}

function constantOfShape(context: InferenceContext): readonly InferredOutput[] {
  const elements = context.elements(0);
  const value = context.tensor('value');
  const dtype = value?.dtype ?? 'float32';
  if (value !== undefined && (value.data.length !== 1 || value.shape.length > 1)) context.fail('attribute "value" must hold one element');
  if (elements === undefined) {
    const rank = knownLength(context, 0);
    return [{ dtype, shape: rank === undefined ? undefined : unknownShape(context, rank) }];
  }
  const shape = elements.map((element, axis) => element ?? context.unknown(0, axis));
  if (shape.some((dimension) => typeof dimension === 'number' && dimension < 0)) context.fail(`shape ${shapeText(shape)} has a negative size`);
  const length = dimensionProduct(shape);
  const fill = value === undefined ? 0 : elementsOf(value)?.[0];
  return [{ dtype, shape, value: shape.length <= 1 && typeof length === 'number' && length <= maximumKnownElements ? new Array<KnownElement>(length).fill(fill) : undefined }];
}

/** One of ONNX's ways to write a constant in the graph. */
function constant(context: InferenceContext): readonly InferredOutput[] {
  const given = Object.keys(context.node.attributes);
  if (given.length !== 1) context.fail(`needs exactly one value, has ${given.join(', ') || 'none'}`);
  const name = given[0]!;
  const value = context.attribute(name)!;
  if (name === 'value') {
    const tensor = value as HostTensor;
    return [{ dtype: tensor.dtype, shape: tensor.shape, value: isHostInitializer(tensor) ? elementsOf(tensor) : undefined }];
  }
  const dtype = name.startsWith('value_int') ? 'int64' : 'float32';
  const list = typeof value === 'number' ? [value] : (value as readonly number[]);
  return [{ dtype, shape: typeof value === 'number' ? [] : [list.length], value: list.length <= maximumKnownElements ? list : undefined }];
}

/** Elements: max(⌈(limit − start) / delta⌉, 0). */
function range(context: InferenceContext): readonly InferredOutput[] {
  const [start, limit, delta] = [0, 1, 2].map((index) => context.elements(index)?.[0]);
  if (delta === 0) context.fail('delta is 0');
  if (typeof start === 'number' && typeof limit === 'number' && typeof delta === 'number') {
    const length = Math.max(Math.ceil((limit - start) / delta), 0);
    return [{ shape: [length], value: length <= maximumKnownElements ? Array.from({ length }, (_, index) => start + index * delta) : undefined }];
  }
  if (start === undefined || limit === undefined || typeof delta !== 'number') return [{ shape: [context.unknown(0, 0)] }];
  const [low, high] = delta > 0 ? [start, limit] : [limit, start];
  const span = subtractDimensions(high, low);
  return [{ shape: [ceilDivide(alwaysAtMost(low, high) ? span : maximumDimension(0, span), Math.abs(delta))] }];
}

function oneHot(context: InferenceContext): readonly InferredOutput[] {
  const at = context.shape(0);
  if (at === undefined) return unknownRank;
  const axis = context.axis(context.int('axis'), at.length + 1);
  const depth = context.elements(1)?.[0];
  return [{ shape: [...at.slice(0, axis), depth ?? context.unknown(0, axis), ...at.slice(axis)] }];
}

function cast(context: InferenceContext): readonly InferredOutput[] {
  const code = context.int('to');
  const dtype = dtypeOfOnnxCode(code) ?? context.fail(`casts to ${onnxTypeName(code)}, which is not supported`);
  const convert = (element: KnownElement): KnownElement => (typeof element === 'number' ? rounded(element, dtype) : sizeTypes.includes(dtype) ? element : undefined);
  return [{ dtype, shape: context.shape(0), value: context.elements(0)?.map(convert) }];
}

/** Types that hold any size, so that a symbolic one stays what it is. */
const sizeTypes: readonly DType[] = ['int64', 'int32', 'uint64', 'uint32', 'float64', 'float32'];

/** A number as an element of a type. */
function rounded(value: number, dtype: DType): KnownElement {
  if (dtype === 'bool') return value === 0 ? 0 : 1;
  if (dtype === 'float64') return value;
  if (dtype === 'float32') return Math.fround(value);
  if (dtype === 'float16') return fromFloat16Bits(toFloat16Bits(value));
  if (dtype === 'bfloat16') return fromBfloat16Bits(toBfloat16Bits(value));
  if (dtype === 'int4' || dtype === 'uint4' || !Number.isFinite(value)) return undefined;
  if (dtype === 'int64' || dtype === 'uint64') return Math.trunc(value);
  const element = allocateArray(dtype, 1);
  element[0] = Math.trunc(value);
  return Number(element[0]);
}

export const shapingOperators: readonly OperatorSchema[] = [
  defineOperator('Shape', { inputs: 'data:T', outputs: 'shape:int64', types: { T: everything }, attributes: { start: int(0), end: int() }, infer: shapeOperator }),
  defineOperator('Reshape', {
    inputs: 'data:T shape?:int64',
    outputs: 'reshaped:T',
    types: { T: everything },
    // `shape` is an attribute up to operator set 4.
    attributes: { allowzero: int(0), shape: attribute('ints') },
    infer: (context) => (context.inputs[1] === undefined && context.ints('shape') === undefined ? context.fail('needs a shape') : reshape(context)),
  }),
  defineOperator('Flatten', { inputs: 'input:T', outputs: 'output:T', types: { T: everything }, attributes: { axis: int(1) }, infer: flatten }),
  defineOperator('Transpose', { inputs: 'data:T', outputs: 'transposed:T', types: { T: everything }, attributes: { perm: attribute('ints') }, infer: transpose }),
  defineOperator('Squeeze', { inputs: 'data:T axes?:int64', outputs: 'squeezed:T', types: { T: everything }, attributes: { axes: attribute('ints') }, infer: squeeze }),
  defineOperator('Unsqueeze', { inputs: 'data:T axes?:int64', outputs: 'expanded:T', types: { T: everything }, attributes: { axes: attribute('ints') }, infer: unsqueeze }),
  defineOperator('Concat', { inputs: 'inputs...:T', outputs: 'concat_result:T', types: { T: wholeBytes }, attributes: { axis: required('int') }, infer: concat }),
  defineOperator('Split', {
    inputs: 'input:T split?:int64',
    outputs: 'outputs...:T',
    types: { T: wholeBytes },
    attributes: { axis: int(0), num_outputs: int(), split: attribute('ints') },
    infer: split,
  }),
  defineOperator('Slice', {
    inputs: 'data:T starts?:Tind ends?:Tind axes?:Tind steps?:Tind',
    outputs: 'output:T',
    types: { T: wholeBytes, Tind: indices },
    attributes: { starts: attribute('ints'), ends: attribute('ints'), axes: attribute('ints') },
    infer: slice,
  }),
  defineOperator('Gather', {
    inputs: 'data:T indices:Tind',
    outputs: 'output:T',
    types: { T: wholeBytes, Tind: indices },
    attributes: { axis: int(0) },
    infer: gather,
  }),
  defineOperator('GatherElements', {
    inputs: 'data:T indices:Tind',
    outputs: 'output:T',
    types: { T: wholeBytes, Tind: indices },
    attributes: { axis: int(0) },
    infer: elementwiseIndices(1),
  }),
  defineOperator('GatherND', {
    inputs: 'data:T indices:int64',
    outputs: 'output:T',
    types: { T: wholeBytes },
    attributes: { batch_dims: int(0) },
    infer: gatherND,
  }),
  defineOperator('ScatterElements', {
    inputs: 'data:T indices:Tind updates:T',
    outputs: 'output:T',
    types: { T: wholeBytes, Tind: indices },
    attributes: { axis: int(0), reduction: string('none', ['none', 'add', 'mul', 'min', 'max']) },
    infer: elementwiseIndices(0),
  }),
  defineOperator('ScatterND', {
    inputs: 'data:T indices:int64 updates:T',
    outputs: 'output:T',
    types: { T: wholeBytes },
    attributes: { reduction: string('none', ['none', 'add', 'mul', 'min', 'max']) },
    infer: scatterND,
  }),
  defineOperator('Expand', { inputs: 'input:T shape:int64', outputs: 'output:T', types: { T: wholeBytes }, infer: expand }),
  defineOperator('Tile', { inputs: 'input:T repeats:int64', outputs: 'output:T', types: { T: wholeBytes }, infer: tile }),
  defineOperator('Pad', {
    inputs: 'data:T pads?:int64 constant_value?:T axes?:Tind',
    outputs: 'output:T',
    types: { T: wholeBytes, Tind: indices },
    // `pads` and `value` are attributes up to operator set 10.
    attributes: { mode: string('constant', ['constant', 'reflect', 'edge', 'wrap']), pads: attribute('ints'), value: float() },
    infer: pad,
  }),
  defineOperator('Trilu', {
    inputs: 'input:T k?:int64',
    outputs: 'output:T',
    types: { T: wholeBytes },
    attributes: { upper: int(1) },
    infer: (context) => [{ shape: withRank(context, 0, 2, Infinity) }],
  }),
  defineOperator('Constant', {
    inputs: '',
    outputs: 'output:rule',
    attributes: { value: attribute('tensor'), value_float: float(), value_floats: attribute('floats'), value_int: int(), value_ints: attribute('ints') },
    infer: constant,
  }),
  defineOperator('ConstantOfShape', { inputs: 'input:int64', outputs: 'output:rule', attributes: { value: attribute('tensor') }, infer: constantOfShape }),
  defineOperator('Range', {
    inputs: 'start:T limit:T delta:T',
    outputs: 'output:T',
    types: { T: ['float32', 'float64', 'int16', 'int32', 'int64'] },
    infer: range,
  }),
  defineOperator('OneHot', {
    inputs: 'indices:T1 depth:T2 values:T3',
    outputs: 'output:T3',
    types: { T1: numeric, T2: numeric, T3: wholeBytes },
    attributes: { axis: int(-1) },
    infer: oneHot,
  }),
  defineOperator('Cast', { inputs: 'input:T', outputs: 'output:rule', types: { T: everything }, attributes: { saturate: int(1), to: required('int') }, infer: cast }),
];
