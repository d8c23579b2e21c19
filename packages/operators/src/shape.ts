import { elementCount } from '@pare/core';

/* Index arithmetic. Layout, broadcasting and reduction all come down to `stridedIndex`: which stored element stands at each position of a result. */

/** Row-major strides of a shape, in elements. */
export function strides(shape: readonly number[]): number[] {
  const steps = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    steps[axis] = step;
    step *= shape[axis]!;
  }
  return steps;
}

/** For each position of `shape` in row-major order: offset + Σ coordinate · step. */
export function stridedIndex(shape: readonly number[], steps: readonly number[], offset = 0): Int32Array {
  const index = new Int32Array(elementCount(shape));
  if (index.length === 0) return index;
  index[0] = offset;
  let length = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    for (let coordinate = 1; coordinate < shape[axis]!; coordinate++) {
      const start = coordinate * length;
      const shift = coordinate * steps[axis]!;
      for (let position = 0; position < length; position++) index[start + position] = index[position]! + shift;
    }
    length *= shape[axis]!;
  }
  return index;
}

/** The shape that all `shapes` broadcast to, NumPy's rules, or undefined when they do not fit. */
export function broadcastShapes(shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let axis = 0; axis < shape.length; axis++) {
      const target = rank - shape.length + axis;
      const size = shape[axis]!;
      if (size === 1 || size === result[target]) continue;
      if (result[target] !== 1) return undefined;
      result[target] = size;
    }
  }
  return result;
}

/** Position in a tensor of `shape` of each element of `target`, which it broadcasts to; undefined when the shapes hold the same elements. */
export function broadcastIndex(shape: readonly number[], target: readonly number[]): Int32Array | undefined {
  if (elementCount(shape) === elementCount(target)) return undefined;
  const own = strides(shape);
  const lead = target.length - shape.length;
  const steps = target.map((_, axis) => (axis < lead || shape[axis - lead] === 1 ? 0 : own[axis - lead]!));
  return stridedIndex(target, steps);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/** `shape` with each of the sorted `axes` set to 1 (kept) or removed. */
export function reducedShape(shape: readonly number[], axes: ReadonlySet<number>, keep: boolean): number[] {
  return keep ? shape.map((size, axis) => (axes.has(axis) ? 1 : size)) : shape.filter((_, axis) => !axes.has(axis));
}

/** A shape around one axis as [outer, size, inner]: element (o, i, n) stands at (o · size + i) · inner + n. */
export function aroundAxis(shape: readonly number[], axis: number): { readonly outer: number; readonly size: number; readonly inner: number } {
  return { outer: elementCount(shape.slice(0, axis)), size: shape[axis] ?? 1, inner: elementCount(shape.slice(axis + 1)) };
}
