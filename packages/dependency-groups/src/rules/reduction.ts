import type { NodeContext, Rule } from './rule.js';

/* Reductions. Sums (of squares, too) do not notice whether a zero is there; means, extrema and products do. */

function reduction(exact: boolean): Rule {
  return (node) => {
    const { axes } = node.input(0);
    const given = node.inputs[1] === undefined ? (node.attribute('axes') as readonly number[] | undefined) : node.ints(1, 'axes');
    if (node.inputs[1] !== undefined && given === undefined) {
      for (const value of [node.input(0), node.output]) node.fixAll(value, 'it is reduced along axes that only a run tells');
      return;
    }
    const none = given === undefined || given.length === 0;
    if (none && node.attribute('noop_with_empty_axes') === 1) {
      node.broadcast(node.input(0), node.output);
      return;
    }
    reduceAlong(node, none ? axes.map((_, index) => index) : given.map((axis) => node.axis(axis, axes.length)), exact);
  };
}

function argument(node: NodeContext): void {
  const { axes } = node.input(0);
  const axis = node.axis(node.int('axis'), axes.length);
  reduceAlong(node, [axis], false);
  node.fix(axes[axis]!, 'its indices are results');
}

function reduceAlong(node: NodeContext, reduced: readonly number[], exact: boolean): void {
  const { axes } = node.input(0);
  const keep = node.int('keepdims') === 1;
  let place = 0;
  for (const [index, axis] of axes.entries()) {
    if (!reduced.includes(index)) node.link(axis, node.output.axes[place++]!);
    else {
      if (!exact) node.summarise(axis);
      if (keep) place++;
    }
  }
}

/** The k largest along an axis, which k does not depend on. */
function topK(node: NodeContext): void {
  const { axes } = node.input(0);
  const axis = node.axis(node.int('axis'), axes.length);
  for (const output of node.outputs) {
    if (output === undefined) continue;
    for (const [index, each] of axes.entries()) if (index !== axis) node.link(each, output.axes[index]!);
    node.fix(output.axes[axis]!, 'it holds the k largest');
  }
  node.link(node.outputs[0]!.axes[axis]!, node.outputs[1]!.axes[axis]!);
  node.summarise(axes[axis]!);
}

export const reductionRules: Readonly<Record<string, Rule>> = {
  ReduceSum: reduction(true),
  ReduceSumSquare: reduction(true),
  ReduceL2: reduction(true),
  ReduceMean: reduction(false),
  ReduceProd: reduction(false),
  ReduceMax: reduction(false),
  ReduceMin: reduction(false),
  ArgMax: argument,
  TopK: topK,
};
