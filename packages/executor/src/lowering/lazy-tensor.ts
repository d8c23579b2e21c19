import { elementCount, type DType, type HostTensor } from '@pare/core';
import { strides } from '@pare/operators';
import { add, load, multiply, size, literal, weigh, position, type BufferReference, type Expression, type Weight } from '../expression/expression.js';
import { atPosition, type Coordinates } from '../expression/coordinates.js';

/** Elements of a buffer as a tensor: element (c₀, c₁, …) stands at offset + Σ c·stride. */
export interface StridedView {
  readonly buffer: BufferReference;
  readonly offset: number;
  readonly strides: readonly number[];
}

/**
 * A tensor while a graph is lowered: how to compute an element, not yet where it is. Views of buffers and values known on the host say so, because products and
 * copies can use them as they are.
 */
export interface LazyTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The element at these coordinates. Integers are wrapped to their type. */
  at(coordinates: Coordinates): Expression;
  readonly view?: StridedView | undefined;
  /** The elements, where the host knows them. */
  readonly host?: HostTensor | undefined;
  /** What evaluating one element costs beyond loading it. */
  readonly work: number;
  readonly loops: boolean;
}

/** A tensor that is a buffer. */
export type BufferTensor = LazyTensor & { readonly view: StridedView };

/** A tensor of which each element is computed, and what an element weighs. */
export function weighedTensor(dtype: DType, shape: readonly number[], at: (coordinates: Coordinates) => Expression): { readonly tensor: LazyTensor; readonly weight: Weight } {
  const weight = weigh(at(atPosition(shape, position)));
  return { tensor: { dtype, shape, at, work: weight.work, loops: weight.loops }, weight };
}

/** A tensor of which each element is computed. */
export function computedTensor(dtype: DType, shape: readonly number[], at: (coordinates: Coordinates) => Expression): LazyTensor {
  return weighedTensor(dtype, shape, at).tensor;
}

/** A view of a buffer's elements. */
export function viewTensor(dtype: DType, shape: readonly number[], view: StridedView): BufferTensor {
  const dense = view.offset === 0 && sameStrides(shape, view.strides, strides(shape));
  return {
    dtype,
    shape,
    view,
    work: 0,
    loops: false,
    at: (coordinates) => {
      if (dense) return load(view.buffer, dtype, coordinates.linear());
      const index = coordinates.list().reduce<Expression>((sum, coordinate, axis) => add(sum, multiply(coordinate, size(view.strides[axis]!))), view.offset === 0 ? literal('i32', 0) : size(view.offset));
      return load(view.buffer, dtype, index);
    },
  };
}

/** A whole buffer as a tensor. */
export function bufferTensor(dtype: DType, shape: readonly number[], buffer: BufferReference, host?: HostTensor): BufferTensor {
  const tensor = viewTensor(dtype, shape, { buffer, offset: 0, strides: strides(shape) });
  return host === undefined ? tensor : { ...tensor, host };
}

/** Strides that name the same elements: those of axes of size 1 do not matter. */
export function sameStrides(shape: readonly number[], a: readonly number[], b: readonly number[]): boolean {
  return shape.every((extent, axis) => extent <= 1 || a[axis] === b[axis]);
}

/** True for a tensor that is a buffer, whole and in order. */
export function isDense(tensor: LazyTensor): tensor is BufferTensor {
  return tensor.view?.offset === 0 && sameStrides(tensor.shape, tensor.view.strides, strides(tensor.shape));
}

export function count(tensor: { readonly shape: readonly number[] }): number {
  return elementCount(tensor.shape);
}

/** The view's strides under another shape of the same elements, or undefined where it needs a copy. */
export function reshapedStrides(shape: readonly number[], strides: readonly number[], target: readonly number[]): number[] | undefined {
  // Axes of size 1 carry no order; the others are matched run by run.
  const from = shape.flatMap((extent, axis) => (extent === 1 ? [] : [{ extent, stride: strides[axis]! }]));
  const result = new Array<number>(target.length).fill(0);
  let axis = 0;
  let at = 0;
  while (at < target.length) {
    if (target[at] === 1) {
      at++;
      continue;
    }
    const first = from[axis];
    if (first === undefined) return undefined;
    // A run of source axes that are contiguous among themselves against a run of target axes with the same product.
    let sourceProduct = first.extent;
    let targetProduct = target[at]!;
    const targets = [at];
    let last = first;
    while (sourceProduct !== targetProduct) {
      if (sourceProduct < targetProduct) {
        const next = from[++axis];
        if (next === undefined || last.stride !== next.stride * next.extent) return undefined;
        sourceProduct *= next.extent;
        last = next;
      } else {
        at++;
        if (at >= target.length) return undefined;
        targetProduct *= target[at]!;
        targets.push(at);
      }
    }
    let stride = last.stride;
    for (const index of targets.reverse()) {
      result[index] = stride;
      stride *= target[index]!;
    }
    axis++;
    at++;
  }
  return axis === from.length ? result : undefined;
}
