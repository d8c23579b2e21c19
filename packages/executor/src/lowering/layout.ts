import { dtypeBits, elementCount, int64Tensor, hostTensor, type HostTensor } from '@pare/core';
import { add, and, convert, equal, less, literal, multiply, or, remainder, scalarTypeOf, select, size, subtract, type Expression } from '../expression/expression.js';
import { atCoordinates, atPosition, broadcastTo, type Coordinates } from '../expression/coordinates.js';
import { broadcastShape } from './elementwise.js';
import { computedTensor, count, reshapedStrides, viewTensor, type LazyTensor } from './lazy-tensor.js';
import { cannotLower, TooManyOperands, type LoweringCall, type OperatorLowering } from './lowering.js';

/* Operators that make, reshape and rearrange tensors without arithmetic on their elements. They compute nothing: they say where elements come from. */

/** The same elements, in the same order, under another shape. */
export function reshaped(tensor: LazyTensor, shape: readonly number[]): LazyTensor {
  const host = tensor.host === undefined ? undefined : { ...tensor.host, shape };
  const { view } = tensor;
  const strides = view === undefined ? undefined : reshapedStrides(tensor.shape, view.strides, shape);
  if (view !== undefined && strides !== undefined) {
    const result = viewTensor(tensor.dtype, shape, { ...view, strides });
    return host === undefined ? result : { ...result, host };
  }
  return {
    dtype: tensor.dtype,
    shape,
    work: tensor.work,
    loops: tensor.loops,
    ...(host === undefined ? {} : { host }),
    at: (coordinates) => tensor.at(atPosition(tensor.shape, coordinates.linear())),
  };
}

/** Axes in another order. */
export function transposed(tensor: LazyTensor, order: readonly number[]): LazyTensor {
  const shape = order.map((axis) => tensor.shape[axis]!);
  const { view } = tensor;
  if (view !== undefined) return viewTensor(tensor.dtype, shape, { ...view, strides: order.map((axis) => view.strides[axis]!) });
  return {
    dtype: tensor.dtype,
    shape,
    work: tensor.work,
    loops: tensor.loops,
    at: (coordinates) => {
      const list = coordinates.list();
      const source = new Array<Expression>(order.length);
      order.forEach((axis, position) => (source[axis] = list[position]!));
      return tensor.at(atCoordinates(tensor.shape, source));
    },
  };
}

/** Every `step`-th element from `start` along each axis. */
export function sliced(tensor: LazyTensor, starts: readonly number[], steps: readonly number[], shape: readonly number[]): LazyTensor {
  const { view } = tensor;
  if (view !== undefined && steps.every((step) => step > 0)) {
    const offset = starts.reduce((sum, start, axis) => sum + (shape[axis] === 0 ? 0 : start * view.strides[axis]!), view.offset);
    return viewTensor(tensor.dtype, shape, { buffer: view.buffer, offset, strides: view.strides.map((stride, axis) => stride * steps[axis]!) });
  }
  return mapped(tensor, shape, (list) => list.map((coordinate, axis) => add(multiply(coordinate, size(steps[axis]!)), size(starts[axis]!))));
}

/** A tensor whose element at some coordinates is another's at others. */
function mapped(tensor: LazyTensor, shape: readonly number[], source: (coordinates: readonly Expression[]) => readonly Expression[]): LazyTensor {
  return {
    dtype: tensor.dtype,
    shape,
    work: tensor.work,
    loops: tensor.loops,
    at: (coordinates) => tensor.at(atCoordinates(tensor.shape, source(coordinates.list()))),
  };
}

/** The tensor repeated along axes of size 1, NumPy's rules. */
export function expanded(call: LoweringCall, tensor: LazyTensor, shape: readonly number[]): LazyTensor {
  const lead = shape.length - tensor.shape.length;
  const source = tensor.work > 0 ? call.lowering.settled(tensor, call.name) : tensor;
  const { view } = source;
  if (view !== undefined) {
    return viewTensor(tensor.dtype, shape, {
      ...view,
      strides: shape.map((extent, axis) => (axis < lead || (source.shape[axis - lead] === 1 && extent !== 1) ? 0 : view.strides[axis - lead]!)),
    });
  }
  return { dtype: source.dtype, shape, work: 0, loops: false, at: (coordinates) => source.at(broadcastTo(source.shape, coordinates)) };
}

const reshape: OperatorLowering = (call) => {
  const data = call.input(0);
  const wanted = call.integersFrom(1, 'shape') ?? call.fail('shape is missing');
  const allowZero = call.number('allowzero', 0) !== 0;
  const shape = wanted.map((extent, axis) => (extent === 0 && !allowZero ? (data.shape[axis] ?? call.fail(`size 0 at axis ${String(axis)} has no input size to copy`)) : extent));
  const open = shape.indexOf(-1);
  if (open >= 0) {
    const rest = elementCount(shape.filter((_, axis) => axis !== open));
    if (rest === 0 || count(data) % rest !== 0) call.fail(`[${data.shape.join(', ')}] cannot be reshaped to [${wanted.join(', ')}]`);
    shape[open] = count(data) / rest;
  }
  if (elementCount(shape) !== count(data)) call.fail(`[${data.shape.join(', ')}] cannot be reshaped to [${wanted.join(', ')}]`);
  return [reshaped(data, shape)];
};

const flatten: OperatorLowering = (call) => {
  const data = call.input(0);
  const given = call.number('axis', 1);
  const axis = given < 0 ? given + data.shape.length : given;
  return [reshaped(data, [elementCount(data.shape.slice(0, axis)), elementCount(data.shape.slice(axis))])];
};

const squeeze: OperatorLowering = (call) => {
  const data = call.input(0);
  const axes = new Set(call.integersFrom(1, 'axes')?.map((axis) => call.axis(axis, data.shape.length)) ?? [...data.shape.keys()].filter((axis) => data.shape[axis] === 1));
  for (const axis of axes) if (data.shape[axis] !== 1) call.fail(`axis ${String(axis)} of [${data.shape.join(', ')}] is not 1`);
  return [reshaped(data, data.shape.filter((_, axis) => !axes.has(axis)))];
};

const unsqueeze: OperatorLowering = (call) => {
  const data = call.input(0);
  const given = call.integersFrom(1, 'axes') ?? call.fail('axes are missing');
  const rank = data.shape.length + given.length;
  const axes = new Set(given.map((axis) => call.axis(axis, rank)));
  const sizes = [...data.shape];
  return [reshaped(data, Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : sizes.shift()!)))];
};

const transpose: OperatorLowering = (call) => {
  const data = call.input(0);
  return [transposed(data, call.numbers('perm') ?? [...data.shape.keys()].reverse())];
};

/** Element c comes from the part whose run of the axis holds it. */
function concatenated(call: LoweringCall, parts: readonly LazyTensor[], axis: number): LazyTensor {
  const kept = parts.filter((part) => part.shape[axis]! > 0);
  const first = parts[0]!;
  const shape = first.shape.map((extent, other) => (other === axis ? parts.reduce((sum, part) => sum + part.shape[axis]!, 0) : extent));
  if (kept.length === 0) return kept[0] ?? { ...first, shape };
  if (kept.length === 1) return kept[0]!;
  const from: number[] = [];
  kept.reduce((start, part) => (from.push(start), start + part.shape[axis]!), 0);
  const place = (tensors: readonly LazyTensor[], coordinates: Coordinates): Expression => {
    const list = coordinates.list();
    const at = (index: number): Expression =>
      tensors[index]!.at(atCoordinates(tensors[index]!.shape, list.map((coordinate, other) => (other === axis ? subtract(coordinate, size(from[index]!)) : coordinate))));
    let result = at(tensors.length - 1);
    for (let index = tensors.length - 2; index >= 0; index--) result = select(less(list[axis]!, size(from[index + 1]!)), at(index), result);
    return result;
  };
  try {
    const lazy = call.lowering.fused(call.name, first.dtype, shape, kept, place);
    // Every part's expression is evaluated for every element, so parts that cost something are computed first.
    return lazy.work > 3 * kept.length ? call.lowering.fused(call.name, first.dtype, shape, kept.map((part) => call.lowering.settled(part, call.name)), place) : lazy;
  } catch (error) {
    if (!(error instanceof TooManyOperands)) throw error;
    const middle = Math.ceil(kept.length / 2);
    const halves = [kept.slice(0, middle), kept.slice(middle)].map((half) => call.lowering.dense(concatenated(call, half, axis), call.name));
    return concatenated(call, halves, axis);
  }
}

const concat: OperatorLowering = (call) => {
  const parts = call.inputs.map((_, index) => call.input(index));
  return [concatenated(call, parts, call.axis(call.number('axis', 0), parts[0]!.shape.length))];
};

const split: OperatorLowering = (call) => {
  const data = call.input(0);
  const axis = call.axis(call.number('axis', 0), data.shape.length);
  const extent = data.shape[axis]!;
  const parts = call.number('num_outputs', call.node.outputs.length);
  const chunk = Math.ceil(extent / parts);
  const sizes = call.integersFrom(1, 'split') ?? Array.from({ length: parts }, (_, part) => Math.max(0, Math.min(chunk, extent - part * chunk)));
  if (sizes.reduce((sum, part) => sum + part, 0) !== extent) call.fail(`parts [${sizes.join(', ')}] do not add up to ${String(extent)}`);
  const whole = data.work > 0 ? call.lowering.dense(data, call.name) : data;
  let start = 0;
  return sizes.map((part) => {
    const result = sliced(
      whole,
      data.shape.map((_, other) => (other === axis ? start : 0)),
      data.shape.map(() => 1),
      data.shape.map((size, other) => (other === axis ? part : size)),
    );
    start += part;
    return result;
  });
};

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

const slice: OperatorLowering = (call) => {
  const data = call.input(0);
  const rank = data.shape.length;
  const starts = call.integersFrom(1, 'starts') ?? call.fail('starts are missing');
  const ends = call.integersFrom(2, 'ends') ?? call.fail('ends are missing');
  const axes = (call.integersFrom(3, 'axes') ?? starts.map((_, axis) => axis)).map((axis) => call.axis(axis, rank));
  const steps = call.integers(4) ?? starts.map(() => 1);
  const shape = [...data.shape];
  const from = data.shape.map(() => 0);
  const by = data.shape.map(() => 1);
  axes.forEach((axis, position) => {
    const extent = data.shape[axis]!;
    const step = steps[position]!;
    if (step === 0) call.fail('a step of 0');
    const resolve = (bound: number): number => (bound < 0 ? bound + extent : bound);
    const start = clamp(resolve(starts[position]!), step < 0 ? -1 : 0, step < 0 ? extent - 1 : extent);
    const end = clamp(resolve(ends[position]!), step < 0 ? -1 : 0, extent);
    shape[axis] = Math.max(0, Math.ceil((end - start) / step));
    from[axis] = start;
    by[axis] = step;
  });
  return [sliced(data, from, by, shape)];
};

/** Where the element at a padded coordinate comes from. */
function padSource(mode: string, coordinate: Expression, extent: number): Expression {
  const zero = literal('i32', 0);
  const last = size(extent - 1);
  switch (mode) {
    case 'wrap':
      return remainder(add(remainder(coordinate, size(extent)), size(extent)), size(extent));
    case 'reflect': {
      if (extent === 1) return zero;
      const period = size(2 * (extent - 1));
      const folded = remainder(add(remainder(coordinate, period), period), period);
      return select(less(folded, size(extent)), folded, subtract(period, folded));
    }
    default:
      return select(less(coordinate, zero), zero, select(less(last, coordinate), last, coordinate));
  }
}

const pad: OperatorLowering = (call) => {
  const data = call.input(0);
  const rank = data.shape.length;
  const mode = call.text('mode', 'constant');
  const pads = call.integersFrom(1, 'pads') ?? call.fail('pads are missing');
  const axes = call.integers(3)?.map((axis) => call.axis(axis, rank)) ?? [...data.shape.keys()];
  if (pads.length !== 2 * axes.length) call.fail(`${String(pads.length)} pads for ${String(axes.length)} axes`);
  const begins = data.shape.map(() => 0);
  const shape = [...data.shape];
  axes.forEach((axis, position) => {
    begins[axis] = pads[position]!;
    shape[axis] = data.shape[axis]! + pads[position]! + pads[axes.length + position]!;
    if (shape[axis] < 0) call.fail(`pads crop axis ${String(axis)} of [${data.shape.join(', ')}] below nothing`);
  });
  const type = scalarTypeOf(data.dtype);
  const filler = call.inputs[2];
  const inputs = filler === undefined ? [data] : [data, filler];
  if (data.dtype === 'float64' && filler === undefined && call.number('value', 0) !== 0) cannotLower('kernels do not compute in float64');
  const changed = shape.map((extent, axis) => begins[axis] !== 0 || extent !== data.shape[axis]);
  return [
    call.lowering.fused(call.name, data.dtype, shape, inputs, ([source, constant], coordinates) => {
      const moved = coordinates.list().map((coordinate, axis) => subtract(coordinate, size(begins[axis]!)));
      const value = source!.at(atCoordinates(source!.shape, moved.map((coordinate, axis) => (changed[axis] ? padSource(mode, coordinate, source!.shape[axis]!) : coordinate))));
      if (mode !== 'constant') return value;
      const outside = moved.flatMap((coordinate, axis) => (changed[axis] ? [or(less(coordinate, literal('i32', 0)), less(size(data.shape[axis]! - 1), coordinate))] : []));
      if (outside.length === 0) return value;
      const fill = constant === undefined ? literal(type, call.number('value', 0)) : constant.at(atPosition(constant.shape, literal('i32', 0)));
      return select(outside.reduce((a, b) => or(a, b)), fill, value);
    }),
  ];
};

const tile: OperatorLowering = (call) => {
  const data = call.lowering.settled(call.input(0), call.name);
  const repeats = call.integers(1) ?? call.fail('repeats are missing');
  if (repeats.length !== data.shape.length) call.fail(`${String(repeats.length)} repeats for rank ${String(data.shape.length)}`);
  const shape = data.shape.map((extent, axis) => extent * repeats[axis]!);
  return [mapped(data, shape, (list) => list.map((coordinate, axis) => (repeats[axis] === 1 ? coordinate : remainder(coordinate, size(data.shape[axis]!)))))];
};

const expand: OperatorLowering = (call) => {
  const data = call.input(0);
  const wanted = call.integers(1) ?? call.fail('shape is missing');
  const shape = broadcastShape(call, [data, { shape: wanted }]);
  return [expanded(call, data, shape)];
};

const shapeLowering: OperatorLowering = (call) => {
  const { shape } = call.input(0);
  const bound = (value: number): number => clamp(value < 0 ? value + shape.length : value, 0, shape.length);
  const part = shape.slice(bound(call.number('start', 0)), bound(call.number('end', shape.length)));
  return [call.lowering.hostTensor(int64Tensor([part.length], part))];
};

const constantOfShape: OperatorLowering = (call) => {
  const shape = call.integers(0) ?? call.fail('shape is missing');
  const given = call.attribute('value') as HostTensor | undefined;
  const value = given === undefined ? hostTensor('float32', [1]) : { ...given, shape: [1] };
  if (dtypeBits(value.dtype) < 8) cannotLower('4-bit constants');
  const one = call.lowering.hostTensor(value);
  return [computedTensor(value.dtype, shape, () => one.at(atPosition([1], literal('i32', 0))))];
};

/** start + i · delta. */
const range: OperatorLowering = (call) => {
  const { dtype } = call.input(0);
  const [start, limit, delta] = [0, 1, 2].map((index) => Number(call.lowering.elements(call.input(index)).data[0]!)) as [number, number, number];
  if (dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16') return cannotLower(`a range of ${dtype}`);
  if (delta === 0) call.fail('a delta of 0');
  const length = Math.max(0, Math.ceil((limit - start) / delta));
  const type = scalarTypeOf(dtype);
  return [computedTensor(dtype, [length], (coordinates) => add(literal(type, start), multiply(convert(type, coordinates.linear()), literal(type, delta))))];
};

const trilu: OperatorLowering = (call) => {
  const data = call.input(0);
  if (data.shape.length < 2) call.fail(`needs matrices, got [${data.shape.join(', ')}]`);
  const upper = call.number('upper', 1) !== 0;
  const k = size(call.integers(1)?.[0] ?? 0);
  return [
    call.lowering.fused(call.name, data.dtype, data.shape, [data], ([source], coordinates) => {
      const list = coordinates.list();
      const diagonal = subtract(list.at(-1)!, list.at(-2)!);
      const dropped = upper ? less(diagonal, k) : less(k, diagonal);
      return select(dropped, literal(scalarTypeOf(data.dtype), 0), source!.at(coordinates));
    }),
  ];
};

const oneHot: OperatorLowering = (call) => {
  const [indices, values] = [call.input(0), call.input(2)];
  if (indices.dtype === 'float64') cannotLower('kernels do not compute in float64');
  const depth = Math.trunc(Number(call.lowering.elements(call.input(1)).data[0]!));
  if (call.input(1).dtype === 'float16' || call.input(1).dtype === 'bfloat16') cannotLower('a depth in 16 bits');
  const axis = call.axis(call.number('axis', -1), indices.shape.length + 1);
  const shape = [...indices.shape.slice(0, axis), depth, ...indices.shape.slice(axis)];
  return [
    call.lowering.fused(call.name, values.dtype, shape, [indices, values], ([hot, states], coordinates) => {
      const list = coordinates.list();
      const given = convert('i32', hot!.at(atCoordinates(hot!.shape, list.filter((_, other) => other !== axis))));
      const index = select(less(given, literal('i32', 0)), add(given, size(depth)), given);
      const on = and(equal(index, list[axis]!), and(less(literal('i32', -1), index), less(index, size(depth))));
      return states!.at(atPosition(states!.shape, select(on, literal('i32', 1), literal('i32', 0))));
    }),
  ];
};

const identity: OperatorLowering = (call) => [call.input(0)];

export const layoutLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::Reshape': reshape,
  '::Flatten': flatten,
  '::Squeeze': squeeze,
  '::Unsqueeze': unsqueeze,
  '::Identity': identity,
  '::Transpose': transpose,
  '::Concat': concat,
  '::Split': split,
  '::Slice': slice,
  '::Pad': pad,
  '::Tile': tile,
  '::Expand': expand,
  '::Shape': shapeLowering,
  '::ConstantOfShape': constantOfShape,
  '::Range': range,
  '::Trilu': trilu,
  '::OneHot': oneHot,
};

