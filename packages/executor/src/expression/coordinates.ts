import { strides } from '@pare/operators';
import { add, constantValue, divide, literal, multiply, remainder, size, type Expression } from './expression.js';

/*
 * Where in a tensor an element stands: a row-major position, or one coordinate an axis. Whichever is known is kept, and the other made when asked for:
 * operators that treat tensors as flat never divide, and reshapes are free.
 */

export interface Coordinates {
  readonly shape: readonly number[];
  /** Row-major position. */
  linear(): Expression;
  /** One expression an axis; 0 along axes of size 1. */
  list(): readonly Expression[];
}

const zero = literal('i32', 0);

/** The position `index` of a tensor of this shape. */
export function atPosition(shape: readonly number[], index: Expression): Coordinates {
  let list: readonly Expression[] | undefined;
  return {
    shape,
    linear: () => index,
    list: () => (list ??= split(shape, index)),
  };
}

/** The element at these coordinates. */
export function atCoordinates(shape: readonly number[], list: readonly Expression[]): Coordinates {
  let linear: Expression | undefined;
  const coordinates = list.map((coordinate, axis) => (shape[axis] === 1 ? zero : coordinate));
  return {
    shape,
    linear: () => (linear ??= join(shape, coordinates)),
    list: () => coordinates,
  };
}

/** c_axis = (index / stride) mod size; the first axis that is not 1 needs no remainder. */
function split(shape: readonly number[], index: Expression): Expression[] {
  const steps = strides(shape);
  const first = shape.findIndex((extent) => extent !== 1);
  return shape.map((extent, axis) => {
    if (extent === 1) return zero;
    const quotient = divide(index, size(steps[axis]!));
    return axis === first ? quotient : remainder(quotient, size(extent));
  });
}

function join(shape: readonly number[], list: readonly Expression[]): Expression {
  const steps = strides(shape);
  return list.reduce((sum, coordinate, axis) => (constantValue(coordinate) === 0 ? sum : add(sum, multiply(coordinate, size(steps[axis]!)))), zero as Expression);
}

/** Where the element stands in a tensor of `shape` that is broadcast to the coordinates' shape, NumPy's rules. */
export function broadcastTo(shape: readonly number[], coordinates: Coordinates): Coordinates {
  const target = coordinates.shape;
  if (shape.length === target.length && shape.every((extent, axis) => extent === target[axis])) return coordinates;
  const count = (sizes: readonly number[]): number => sizes.reduce((product, extent) => product * extent, 1);
  // The same elements under leading ones.
  if (count(shape) === count(target)) return atPosition(shape, coordinates.linear());
  if (shape.every((extent) => extent === 1)) return atPosition(shape, zero);
  return atCoordinates(shape, coordinates.list().slice(target.length - shape.length));
}
