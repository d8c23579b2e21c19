import { type Dimension } from '@pare/core';
import { broadcastShapes, dimensionProduct, unifyDimensions } from '../types/dimension.js';
import { maximumKnownElements, type InferenceContext, type InferenceRule, type InferredOutput, type KnownElements } from './schema.js';

/* Building blocks of inference rules. */

/** One element of a small tensor, if known. */
export type KnownElement = Dimension | undefined;

/** `[batch_size, 4]`, for messages. */
export function shapeText(shape: readonly Dimension[] | undefined): string {
  return shape === undefined ? 'of unknown rank' : `[${shape.join(', ')}]`;
}

/** The only output has the first input's shape (and elements, changed by `compute` when given). */
export function sameAsFirst(compute?: (element: Dimension) => KnownElement): InferenceRule {
  return (context) => {
    const value = compute === undefined ? undefined : context.elements(0)?.map((element) => (element === undefined ? undefined : compute(element)));
    return [{ shape: context.shape(0), value }];
  };
}

/** The output is the broadcast of all inputs; `compute` gives an element of a small result. */
export function broadcasting(compute?: (...operands: KnownElement[]) => KnownElement): InferenceRule {
  return (context) => {
    const shape = broadcastInputs(context);
    return [{ shape, value: compute === undefined || shape === undefined ? undefined : mapElements(context, shape, compute) }];
  };
}

/** Broadcast shape of some inputs (all by default); undefined while a rank is unknown. */
export function broadcastInputs(context: InferenceContext, indices: readonly number[] = context.inputs.map((_, index) => index)): Dimension[] | undefined {
  const shapes: (readonly Dimension[])[] = [];
  for (const index of indices) {
    if (context.inputs[index] === undefined) continue;
    const shape = context.shape(index);
    if (shape === undefined) return undefined;
    shapes.push(shape);
  }
  return broadcastShapes(...shapes) ?? context.fail(`shapes ${shapes.map(shapeText).join(' and ')} do not broadcast`);
}

/** Elements of an elementwise result over operands that are scalars, one-element lists, or lists of the result's length. */
function mapElements(context: InferenceContext, shape: readonly Dimension[], compute: (...operands: KnownElement[]) => KnownElement): KnownElements | undefined {
  const length = dimensionProduct(shape);
  if (shape.length > 1 || typeof length !== 'number' || length > maximumKnownElements) return undefined;
  const operands = context.inputs.map((_, index) => context.elements(index));
  if (operands.every((operand) => operand === undefined)) return undefined;
  return Array.from({ length }, (_, position) => compute(...operands.map((operand) => (operand === undefined ? undefined : operand[operand.length === 1 ? 0 : position]))));
}

/** Number of elements of an input, when its shape is fully known. */
export function knownLength(context: InferenceContext, index: number): number | undefined {
  const shape = context.shape(index);
  if (shape?.length !== 1) return undefined;
  return typeof shape[0] === 'number' ? shape[0] : undefined;
}

/** Integers that stand in an input in newer operator sets and in an attribute in older ones; `unknown` when an input's elements are not known. */
export function integersFrom(context: InferenceContext, input: number, attribute: string): readonly number[] | undefined | 'unknown' {
  if (context.inputs[input] !== undefined) return context.numbers(input) ?? 'unknown';
  return context.ints(attribute);
}

/** Ranks beyond this come from damaged files. */
const maximumRank = 1024;

/** An output whose sizes are all new symbols. */
export function unknownShape(context: InferenceContext, rank: number, output = 0): Dimension[] {
  if (rank < 0 || rank > maximumRank) context.fail(`output ${String(output)} would have rank ${String(rank)}`);
  return Array.from({ length: rank }, (_, axis) => context.unknown(output, axis));
}

/** Dimensions that two inputs must share, the more specific of each pair. */
export function unify(context: InferenceContext, left: Dimension, right: Dimension, what: string): Dimension {
  return unifyDimensions(left, right) ?? context.fail(`${what}: ${String(left)} and ${String(right)} differ`);
}

/** Checks a rank and returns the shape; undefined while the rank is unknown. */
export function withRank(context: InferenceContext, index: number, minimum: number, maximum = minimum): readonly Dimension[] | undefined {
  const shape = context.shape(index);
  if (shape !== undefined && (shape.length < minimum || shape.length > maximum)) {
    const wanted = minimum === maximum ? `rank ${String(minimum)}` : maximum === Infinity ? `at least rank ${String(minimum)}` : `rank ${String(minimum)} to ${String(maximum)}`;
    context.fail(`input ${String(index)} has shape ${shapeText(shape)}, needs ${wanted}`);
  }
  return shape;
}

/** All outputs of unknown rank: the answer when an input's rank is unknown. */
export const unknownRank: readonly InferredOutput[] = [{ shape: undefined }];
