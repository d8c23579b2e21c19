import { type Dimension, type DType } from '@pare/core';
import { type GraphBuilder, type Value } from '../builder.js';
import { sameDimension } from '../types/dimension.js';
import { type GradientContext } from './rule.js';

/* Sizes in backward graphs: constants where they are known, else computed from the forward value. */

/** One size of a value: a number, or a 1-D value of one element. */
export function sizeOf(builder: GraphBuilder, value: Value, axis: number): number | Value {
  const dimension = value.shape![axis]!;
  return typeof dimension === 'number' ? dimension : builder.shapeOf(value, axis, axis + 1);
}

/** The sizes of a value. */
export function sizesOf(builder: GraphBuilder, value: Value): (number | Value)[] {
  return value.shape!.map((_, axis) => sizeOf(builder, value, axis));
}

/** A target for `reshape`: the value's shape, in which one unknown size is left to the runtime. */
export function shapeLike(builder: GraphBuilder, value: Value): Value | readonly number[] {
  const shape = value.shape;
  if (shape === undefined) return builder.shapeOf(value);
  const open = shape.filter((dimension) => typeof dimension === 'string').length;
  if (open > 1 || (open === 1 && shape.includes(0))) return builder.shapeOf(value);
  return shape.map((dimension) => (typeof dimension === 'number' ? dimension : -1));
}

/** Zeros of the sizes given. */
export function zeros(builder: GraphBuilder, dtype: DType, sizes: Value | readonly (number | Value)[]): Value {
  return builder.expand(builder.scalar(0, dtype), sizes);
}

/** Zeros in a value's type and shape. */
export function zerosLike(builder: GraphBuilder, value: Value): Value {
  return zeros(builder, value.dtype, value.shape === undefined ? builder.shapeOf(value) : sizesOf(builder, value));
}

/** How many elements stand along some axes, as a number or a scalar of the value's type. */
export function countAlong(builder: GraphBuilder, value: Value, axes: readonly number[]): number | Value {
  let known = 1;
  let computed: Value | undefined;
  for (const axis of axes) {
    const size = sizeOf(builder, value, axis);
    if (typeof size === 'number') known *= size;
    else computed = computed === undefined ? size : builder.mul(computed, size);
  }
  return computed === undefined ? known : builder.cast(builder.squeeze(builder.mul(computed, builder.int64([known])), [0]), value.dtype);
}

/**
 * A gradient in the shape of what it is the gradient of: summed over the axes along which that was broadcast, expanded where the gradient is smaller.
 * @param fail with a problem, when two symbolic sizes may or may not differ
 */
export function fitGradient(builder: GraphBuilder, gradient: Value, target: Value, fail: GradientContext['fail']): Value {
  const from = gradient.shape ?? fail('a gradient has unknown rank');
  const to = target.shape ?? fail(`the rank of "${target.name}" is unknown`);
  const extra = Math.max(0, from.length - to.length);
  let fitted = extra === 0 ? gradient : builder.reduceSum(gradient, Array.from({ length: extra }, (_, axis) => axis));
  const lead = Math.max(0, to.length - from.length);
  const summed: number[] = [];
  let smaller = lead > 0;
  for (const [axis, size] of from.slice(extra).entries()) {
    const wanted = to[axis + lead]!;
    if (wanted === 1 && size !== 1) summed.push(axis);
    else if (size === 1 && wanted !== 1) smaller = true;
    else if (differ(size, wanted)) fail(`sizes "${String(size)}" and "${String(wanted)}" may or may not be broadcast; give sizes that are equal one name`);
  }
  if (summed.length > 0) fitted = builder.reduceSum(fitted, summed, true);
  return smaller ? builder.expand(fitted, sizesOf(builder, target)) : fitted;
}

/** True for two sizes of which one may be 1 and the other not. A number beside a name is taken for what the name stands for. */
function differ(left: Dimension, right: Dimension): boolean {
  return typeof left === 'string' && typeof right === 'string' && !sameDimension(left, right);
}
