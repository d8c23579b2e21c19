import type { Dimension } from '@pare/core';
import { addDimensions, dimensionProduct, divideExactly, sameDimension, subtractDimensions } from '@pare/graph';
import { Axis, partsOf, resolve, type AxisStructure } from './axis.js';

/*
 * Unification of axes. Two axes that an operator couples must be made of the same parts in the same order; where one is known in more detail, the other gets that detail:
 *
 *   n  ~ A×B          n becomes A×B
 *   A×B ~ C×D         the factor that is larger is cut: 8×4 ~ 2×16 gives 2×4×4
 *   A+B ~ C+D         the part that is longer is cut
 *   A×B ~ C+D         A is cut where C ends, if B divides that; or C and D get the factor B
 */

/** Makes two axes one. False when their structures contradict each other; what was found to be equal until then stays so. */
export function unify(left: Axis, right: Axis): boolean {
  const a = resolve(left);
  const b = resolve(right);
  if (a === b) return true;
  if (!sameDimension(a.size, b.size)) return false;
  if (a.structure === undefined) merge(a, b);
  else if (b.structure === undefined) merge(b, a);
  else {
    if (!alignStructures(a, b)) return false;
    // Parts that were unified on the way may have merged the two already.
    const [from, to] = [resolve(a), resolve(b)];
    if (from !== to) merge(from, to);
  }
  return true;
}

function merge(from: Axis, to: Axis): void {
  for (const [key, reason] of from.fixed) to.fixed.set(key, reason);
  for (const name of from.statistics) to.statistics.add(name);
  from.same = to;
}

function alignStructures(a: Axis, b: Axis): boolean {
  const [left, right] = [a.structure!.kind, b.structure!.kind];
  if (left === 'product' && right === 'product') return unifyFactors([a], [b]);
  if (left === 'concatenation' && right === 'concatenation') return unifyRuns(partsOf(a, left), partsOf(b, right));
  const [product, joined] = left === 'product' ? [a, b] : [b, a];
  const lengths = partsOf(joined, 'concatenation').map((part) => part.size);
  const pieces = cutAll(product, lengths);
  if (pieces !== undefined) return unifyRuns(pieces, partsOf(joined, 'concatenation'));
  const inner = partsOf(product, 'product').at(-1)!;
  return divideInner(joined, inner.size) && alignStructures(product, joined);
}

/**
 * Unifies two lists of axes that enumerate the same elements row by row: what Reshape and Flatten do. Axes of size 1 enumerate nothing.
 * @returns false when the sizes do not fit into each other; the axes not aligned then are the caller's to fix
 */
export function unifyFactors(left: readonly Axis[], right: readonly Axis[]): boolean {
  const a = left.flatMap((axis) => partsOf(axis, 'product')).filter(isLong);
  const b = right.flatMap((axis) => partsOf(axis, 'product')).filter(isLong);
  while (a.length > 0 && b.length > 0) {
    const [x, y] = [a[0]!, b[0]!];
    if (sameDimension(x.size, y.size)) {
      if (!unify(x, y)) return false;
      a.shift();
      b.shift();
    } else if (divideExactly(x.size, y.size) !== undefined) {
      if (!divideOuter(x, y.size)) return false;
      a.splice(0, 1, ...partsOf(x, 'product').filter(isLong));
    } else if (divideExactly(y.size, x.size) !== undefined) {
      if (!divideOuter(y, x.size)) return false;
      b.splice(0, 1, ...partsOf(y, 'product').filter(isLong));
    } else return false;
  }
  return a.length === 0 && b.length === 0;
}

const isLong = (axis: Axis): boolean => axis.size !== 1;

/** Unifies two lists of axes that follow each other over the same indices. */
function unifyRuns(left: readonly Axis[], right: readonly Axis[]): boolean {
  const a = [...left];
  const b = [...right];
  while (a.length > 0 && b.length > 0) {
    const [x, y] = [a[0]!, b[0]!];
    if (sameDimension(x.size, y.size)) {
      if (!unify(x, y)) return false;
      a.shift();
      b.shift();
      continue;
    }
    if (typeof x.size !== 'number' || typeof y.size !== 'number') return false;
    const [list, long, length] = x.size > y.size ? [a, x, y.size] : [b, y, x.size];
    const pieces = cut(long, length);
    if (pieces === undefined) return false;
    list.splice(0, 1, ...pieces);
  }
  return a.length === 0 && b.length === 0;
}

/** The axis cut into pieces of these lengths; undefined when its structure has no boundaries there. */
export function cutAll(axis: Axis, lengths: readonly Dimension[]): Axis[] | undefined {
  const pieces: Axis[] = [];
  let rest = axis;
  for (const [index, length] of lengths.entries()) {
    if (index === lengths.length - 1) break;
    const halves = cut(rest, length);
    if (halves === undefined) return undefined;
    pieces.push(halves[0]);
    rest = halves[1];
  }
  return [...pieces, rest];
}

/**
 * The first `length` indices of an axis, and the others. The axis is their concatenation from then on.
 * @returns undefined when the axis has no boundary there
 */
export function cut(axis: Axis, length: Dimension): [Axis, Axis] | undefined {
  const root = resolve(axis);
  if (root.structure === undefined) {
    const halves: [Axis, Axis] = [new Axis(length), new Axis(subtractDimensions(root.size, length))];
    root.structure = { kind: 'concatenation', parts: halves };
    return halves;
  }
  return root.structure.kind === 'concatenation' ? cutRuns(root, length) : cutOuter(root, length);
}

function cutRuns(root: Axis, length: Dimension): [Axis, Axis] | undefined {
  const parts = partsOf(root, 'concatenation');
  let start: Dimension = 0;
  for (const [index, part] of parts.entries()) {
    const end = addDimensions(start, part.size);
    if (sameDimension(end, length)) return halvesOf(root, parts.slice(0, index + 1), parts.slice(index + 1));
    if (typeof end === 'number' && typeof length === 'number' && typeof start === 'number' && end > length) {
      const halves = cut(part, length - start);
      return halves === undefined ? undefined : halvesOf(root, [...parts.slice(0, index), halves[0]], [halves[1], ...parts.slice(index + 1)]);
    }
    start = end;
  }
  return undefined;
}

/** (A + A')×B = A×B + A'×B. */
function cutOuter(root: Axis, length: Dimension): [Axis, Axis] | undefined {
  const [outer, ...inner] = partsOf(root, 'product');
  const count = divideExactly(length, dimensionProduct(inner.map((part) => part.size)));
  if (count === undefined) return undefined;
  const halves = cut(outer!, count);
  if (halves === undefined) return undefined;
  const [first, second] = halves.map((half) => joined('product', [half, ...inner])) as [Axis, Axis];
  return halvesOf(root, [first], [second]);
}

function halvesOf(root: Axis, left: readonly Axis[], right: readonly Axis[]): [Axis, Axis] {
  const halves: [Axis, Axis] = [joined('concatenation', left), joined('concatenation', right)];
  root.structure = { kind: 'concatenation', parts: halves };
  return halves;
}

/** An axis made of others: the only one itself, or a new one. */
export function joined(kind: AxisStructure['kind'], parts: readonly Axis[]): Axis {
  const counted = kind === 'product' ? parts.filter(isLong) : parts;
  if (counted.length === 1) return counted[0]!;
  const sizes = counted.map((part) => part.size);
  return new Axis(kind === 'product' ? dimensionProduct(sizes) : sizes.reduce<Dimension>(addDimensions, 0), { kind, parts: counted });
}

/** Makes an axis without product structure outer × rest. */
function divideOuter(axis: Axis, outer: Dimension): boolean {
  const rest = divideExactly(axis.size, outer);
  return rest !== undefined && divideInner(axis, rest);
}

/** Makes an axis without product structure rest × inner. A concatenation is divided part by part, which then share the inner factor. */
function divideInner(axis: Axis, inner: Dimension): boolean {
  const root = resolve(axis);
  const outer = divideExactly(root.size, inner);
  if (outer === undefined) return false;
  if (outer === 1 || inner === 1) return true;
  if (root.structure === undefined) {
    root.structure = { kind: 'product', parts: [new Axis(outer), new Axis(inner)] };
    return true;
  }
  const shared = new Axis(inner);
  const outers: Axis[] = [];
  for (const part of partsOf(root, 'concatenation')) {
    const count = divideExactly(part.size, inner);
    if (count === undefined) return false;
    const rest = new Axis(count);
    if (!unifyFactors([part], count === 1 ? [shared] : [rest, shared])) return false;
    outers.push(rest);
  }
  root.structure = { kind: 'product', parts: [joined('concatenation', outers), shared] };
  return true;
}
