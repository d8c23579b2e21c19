import { cut, cutAll, joined } from '../unify.js';
import { resolve, type Axis } from '../axis.js';
import type { NodeContext, Rule, TracedValue } from './rule.js';

/* Operators that rearrange, join, cut and select. */

/** Same elements, row by row. */
function reshape(node: NodeContext): void {
  node.linkFactors(node.input(0).axes, node.output.axes);
}

function transpose(node: NodeContext): void {
  const { axes } = node.input(0);
  const order = (node.attribute('perm') as readonly number[] | undefined) ?? axes.map((_, index) => axes.length - 1 - index);
  for (const [place, from] of order.entries()) node.link(axes[from]!, node.output.axes[place]!);
}

/** Axes outside the one that is joined or cut are the same everywhere. */
function linkOthers(node: NodeContext, from: TracedValue, to: TracedValue, axis: number): void {
  for (const [index, each] of from.axes.entries()) if (index !== axis) node.link(each, to.axes[index]!);
}

function concat(node: NodeContext): void {
  const axis = node.axis(node.int('axis'), node.output.axes.length);
  const parts: Axis[] = [];
  for (const input of node.inputs) {
    if (input === undefined) continue;
    linkOthers(node, input, node.output, axis);
    parts.push(input.axes[axis]!);
  }
  node.link(joined('concatenation', parts), node.output.axes[axis]!);
}

function split(node: NodeContext): void {
  const input = node.input(0);
  const axis = node.axis(node.int('axis'), input.axes.length);
  const parts: Axis[] = [];
  for (const output of node.outputs) {
    if (output === undefined) continue;
    linkOthers(node, input, output, axis);
    parts.push(output.axes[axis]!);
  }
  if (parts.length === node.outputs.length) node.link(input.axes[axis]!, joined('concatenation', parts));
  else for (const each of [input.axes[axis]!, ...parts]) node.fix(each, 'a part of it is left out');
}

/** A run with step 1 is a part of its axis; anything else fixes the axis. */
function slice(node: NodeContext): void {
  const input = node.input(0);
  const rank = input.axes.length;
  const [starts, ends] = [node.ints(1, 'starts'), node.ints(2, 'ends')];
  const listed = node.inputs[3] === undefined && node.attribute('axes') === undefined ? starts?.map((_, index) => index) : node.ints(3, 'axes');
  const steps = node.inputs[4] === undefined ? undefined : node.ints(4, 'steps');
  for (let axis = 0; axis < rank; axis++) {
    const [from, to] = [input.axes[axis]!, node.output.axes[axis]!];
    const place = listed?.findIndex((each) => node.axis(each, rank) === axis) ?? 0;
    if (place < 0) node.link(from, to);
    else if (!takePart(from, to, starts?.[place], ends?.[place], node.inputs[4] === undefined ? 1 : steps?.[place], node)) {
      for (const each of [from, to]) node.fix(each, 'a part of it is taken that only a run tells, or that other operators do not keep apart');
    }
  }
}

function takePart(from: Axis, to: Axis, start: number | undefined, end: number | undefined, step: number | undefined, node: NodeContext): boolean {
  const { size } = from;
  if (start === undefined || end === undefined || step !== 1 || typeof size !== 'number') return false;
  const clamp = (place: number): number => Math.min(Math.max(place < 0 ? place + size : place, 0), size);
  const [first, last] = [clamp(start), clamp(end)];
  if (last <= first) return true;
  const lengths = [first, last - first, size - last];
  const pieces = cutAll(from, lengths.filter((length) => length > 0));
  if (pieces === undefined) return false;
  node.link(pieces[first > 0 ? 1 : 0]!, to);
  return true;
}

/** Rows of a table by number. The table's axis is known to the data. */
function gather(node: NodeContext): void {
  const [data, indices] = [node.input(0), node.input(1)];
  const axis = node.axis(node.int('axis'), data.axes.length);
  const { axes } = node.output;
  const count = indices.axes.length;
  for (const [index, each] of data.axes.entries()) if (index !== axis) node.link(each, axes[index < axis ? index : index - 1 + count]!);
  for (const [index, each] of indices.axes.entries()) node.link(each, axes[axis + index]!);
  node.fix(data.axes[axis]!, 'its indices are data');
}

function gatherElements(node: NodeContext): void {
  const [data, indices] = [node.input(0), node.input(1)];
  const axis = node.axis(node.int('axis'), data.axes.length);
  node.broadcast(indices, node.output);
  for (const [index, each] of data.axes.entries()) {
    const other = indices.axes[index]!;
    if (index === axis) node.fix(each, 'its indices are data');
    else if (resolve(each) !== resolve(other)) node.link(each, other);
  }
}

/** The indices name places along `axis`, so they are made of what the axis has: a router's choice among its experts. */
function scatterElements(node: NodeContext): void {
  const [data, indices, updates] = [node.input(0), node.input(1), node.input(2)];
  const axis = node.axis(node.int('axis'), data.axes.length);
  node.broadcast(data, node.output);
  node.broadcast(indices, updates);
  for (const [index, each] of data.axes.entries()) if (index !== axis) node.link(each, indices.axes[index]!);
}

/** Slices of the data at places that are data; the axes behind those places are those of the updates. */
function scatterNd(node: NodeContext): void {
  const [data, indices, updates] = [node.input(0), node.input(1), node.input(2)];
  node.broadcast(data, node.output);
  const places = Number(indices.shape.at(-1));
  const rank = indices.axes.length - 1;
  for (let axis = 0; axis < rank; axis++) node.link(indices.axes[axis]!, updates.axes[axis]!);
  for (const [index, axis] of data.axes.entries()) {
    if (index < places) node.fix(axis, 'its indices are data');
    else node.link(axis, updates.axes[rank + index - places]!);
  }
}

function expand(node: NodeContext): void {
  node.broadcast(node.input(0), node.output);
}

/** Where an axis is padded, the input is a part of it. */
function pad(node: NodeContext): void {
  const input = node.input(0);
  const rank = input.axes.length;
  const pads = node.inputs[3] === undefined ? node.ints(1, 'pads') : undefined;
  for (const [axis, from] of input.axes.entries()) {
    const to = node.output.axes[axis]!;
    const [before, after] = [pads?.[axis], pads?.[axis + rank]];
    if (before === 0 && after === 0) node.link(from, to);
    else if (before === undefined || after === undefined || before < 0 || after < 0 || node.attribute('mode') !== 'constant') {
      for (const each of [from, to]) node.fix(each, 'it is padded by a rule or amount that depends on it');
    } else {
      const tail = before === 0 ? to : cut(to, before)?.[1];
      const inner = tail === undefined || after === 0 ? tail : cut(tail, from.size)?.[0];
      if (inner === undefined) node.fix(to, 'it is padded');
      else node.link(inner, from);
    }
  }
}

/** What is read of a value is its sizes, and what is made are numbers that say so: both follow by themselves when an axis gets shorter. */
function sizes(node: NodeContext): void {
  node.fixAll(node.output, 'it is made of sizes');
}

export const shapingRules: Readonly<Record<string, Rule>> = {
  Reshape: reshape,
  Flatten: reshape,
  Squeeze: reshape,
  Unsqueeze: reshape,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: gatherElements,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
  Expand: expand,
  Pad: pad,
  Shape: sizes,
  ConstantOfShape: sizes,
  Range: sizes,
  Constant: sizes,
};
