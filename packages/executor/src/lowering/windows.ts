import { elementCount } from '@pare/core';
import { planWindows, type Windows } from '@pare/operators';
import { add, and, convert, divide, equal, less, literal, loop, multiply, or, scalarTypeOf, select, size, subtract, unary, type Expression } from '../expression/expression.js';
import { atCoordinates, atPosition } from '../expression/coordinates.js';
import { computable } from './elementwise.js';
import type { LazyTensor } from './lazy-tensor.js';
import { cannotLower, type LoweringCall, type OperatorLowering } from './lowering.js';
import { reduceAxes } from './reduction.js';

/* Sliding windows over [N, C, …spatial]: convolution and pooling, one invocation an output element. */

function plannedWindows(call: LoweringCall, spatial: readonly number[], kernel: readonly number[]): Windows {
  return planWindows({
    spatial,
    kernel,
    strides: call.numbers('strides'),
    dilations: call.numbers('dilations'),
    autoPad: call.text('auto_pad', 'NOTSET'),
    pads: call.numbers('pads'),
    ceilMode: call.number('ceil_mode', 0) !== 0,
    fail: (problem) => call.fail(problem),
  });
}

/** Where tap `tap` of the window at `outer` lies: its coordinates, whether inside the image, and whether inside image and padding. */
function tapOf(windows: Windows, outer: readonly Expression[], tap: Expression): { readonly at: readonly Expression[]; readonly inside: Expression; readonly padded: Expression } {
  const taps = atPosition(windows.kernel, tap).list();
  const at = outer.map((coordinate, axis) =>
    subtract(add(multiply(coordinate, size(windows.steps[axis]!)), multiply(taps[axis]!, size(windows.dilations[axis]!))), size(windows.begins[axis]!)),
  );
  const all = (conditions: readonly Expression[]): Expression => conditions.reduce((a, b) => and(a, b));
  return {
    at,
    inside: all(at.map((coordinate, axis) => and(less(literal('i32', -1), coordinate), less(coordinate, size(windows.input[axis]!))))),
    padded: all(at.map((coordinate, axis) => less(coordinate, size(windows.input[axis]! + windows.ends[axis]!)))),
  };
}

function images(call: LoweringCall, x: LazyTensor): readonly number[] {
  if (x.shape.length < 3) call.fail(`needs [N, C, …spatial], got [${x.shape.join(', ')}]`);
  return x.shape.slice(2);
}

/** y[n, m, o] = b[m] + Σ over the group's channels c and taps t of x[n, c, o · stride − pad + t · dilation] · w[m, c, t]. */
const conv: OperatorLowering = (call) => {
  const [x, w] = [call.lowering.settled(call.input(0), call.name), call.lowering.settled(call.input(1), call.name)];
  const bias = call.inputs[2] === undefined ? undefined : call.lowering.settled(call.inputs[2], call.name);
  computable([x, w]);
  const spatial = images(call, x);
  const groups = call.number('group', 1);
  const filters = w.shape[0]!;
  const perGroup = w.shape[1]!;
  if (perGroup * groups !== x.shape[1] || filters % groups !== 0) call.fail(`[${x.shape.join(', ')}] with filters [${w.shape.join(', ')}] in ${String(groups)} groups: channels do not fit`);
  const windows = plannedWindows(call, spatial, call.numbers('kernel_shape') ?? w.shape.slice(2));
  const taps = elementCount(windows.kernel);
  return [
    call.lowering.compute(call.name, x.dtype, [x.shape[0]!, filters, ...windows.output], (coordinates) => {
      const [image, filter, ...outer] = coordinates.list() as [Expression, Expression, ...Expression[]];
      const first = groups === 1 ? literal('i32', 0) : multiply(divide(filter, size(filters / groups)), size(perGroup));
      const sum = loop('sum', size(perGroup), (channel) =>
        loop('sum', size(taps), (tap) => {
          const { at, inside } = tapOf(windows, outer, tap);
          const value = multiply(x.at(atCoordinates(x.shape, [image, add(first, channel), ...at])), w.at(atCoordinates(w.shape, [filter, channel, ...atPosition(windows.kernel, tap).list()])));
          return select(inside, value, literal(value.type, 0));
        }),
      );
      return bias === undefined ? sum : add(sum, bias.at(atCoordinates(bias.shape, [filter])));
    }),
  ];
};

/** Mean of each window's elements. */
const averagePool: OperatorLowering = (call) => {
  const x = call.lowering.settled(call.input(0), call.name);
  computable([x]);
  const windows = plannedWindows(call, images(call, x), call.numbers('kernel_shape') ?? call.fail('attribute kernel_shape is missing'));
  const countPadding = call.number('count_include_pad', 0) !== 0;
  const taps = size(elementCount(windows.kernel));
  return [
    call.lowering.compute(call.name, x.dtype, [x.shape[0]!, x.shape[1]!, ...windows.output], (coordinates) => {
      const [image, channel, ...outer] = coordinates.list() as [Expression, Expression, ...Expression[]];
      const total = loop('sum', taps, (tap) => {
        const { at, inside } = tapOf(windows, outer, tap);
        return select(inside, x.at(atCoordinates(x.shape, [image, channel, ...at])), literal('f32', 0));
      });
      const number = loop('sum', taps, (tap) => {
        const { inside, padded } = tapOf(windows, outer, tap);
        return select(countPadding ? or(inside, padded) : inside, literal('f32', 1), literal('f32', 0));
      });
      return divide(total, number);
    }),
  ];
};

/** Largest element of each window and, on request, the first position that holds it. */
const maxPool: OperatorLowering = (call) => {
  const x = call.lowering.settled(call.input(0), call.name);
  computable([x]);
  const spatial = images(call, x);
  const windows = plannedWindows(call, spatial, call.numbers('kernel_shape') ?? call.fail('attribute kernel_shape is missing'));
  const taps = size(elementCount(windows.kernel));
  const shape = [x.shape[0]!, x.shape[1]!, ...windows.output];
  const type = scalarTypeOf(x.dtype);
  const lowest: Partial<Record<string, number>> = { float32: -Infinity, float16: -65504, bfloat16: -Infinity, int8: -128, uint8: 0, int16: -32768, uint16: 0, int32: -2147483648, uint32: 0 };
  if (lowest[x.dtype] === undefined) cannotLower(`windows of ${x.dtype}`);
  const largest = call.lowering.compute(call.name, x.dtype, shape, (coordinates) => {
    const [image, channel, ...outer] = coordinates.list() as [Expression, Expression, ...Expression[]];
    return loop('maximum', taps, (tap) => {
      const { at, inside } = tapOf(windows, outer, tap);
      return select(inside, x.at(atCoordinates(x.shape, [image, channel, ...at])), literal(type, lowest[x.dtype]!));
    });
  });
  if (!call.wants(1)) return [largest];
  const columnMajor = call.number('storage_order', 0) !== 0;
  const plane = elementCount(spatial);
  const indices = call.lowering.compute(call.name, 'int64', shape, (coordinates) => {
    const [image, channel, ...outer] = coordinates.list() as [Expression, Expression, ...Expression[]];
    const target = largest.at(coordinates);
    const first = loop('minimum', taps, (tap) => {
      const { at, inside } = tapOf(windows, outer, tap);
      const value = x.at(atCoordinates(x.shape, [image, channel, ...at]));
      const same = value.type === 'f32' ? or(equal(value, target), and(unary('is-nan', value), unary('is-nan', target))) : equal(value, target);
      return select(and(inside, same), tap, size(0x7fffffff));
    });
    const { at } = tapOf(windows, outer, first);
    let step = 1;
    const inPlane = columnMajor
      ? at.reduce<Expression>((sum, coordinate, axis) => {
          const result = add(sum, multiply(coordinate, size(step)));
          step *= spatial[axis]!;
          return result;
        }, literal('i32', 0))
      : atCoordinates(spatial, at).linear();
    const base = multiply(add(multiply(image, size(x.shape[1]!)), channel), size(plane));
    return convert('i64', add(base, inPlane));
  });
  return [largest, indices];
};

const globalAveragePool: OperatorLowering = (call) => {
  const x = call.input(0);
  computable([x]);
  images(call, x);
  const axes = new Set([...x.shape.keys()].slice(2));
  return [reduceAxes(call, x, axes, true, 'sum', (element) => element, (sum, elements) => divide(sum, { kind: 'scalar', type: 'f32', value: elements }))];
};

export const windowLowerings: Readonly<Record<string, OperatorLowering>> = {
  '::Conv': conv,
  '::AveragePool': averagePool,
  '::MaxPool': maxPool,
  '::GlobalAveragePool': globalAveragePool,
};

