import type { NodeContext, Rule } from './rule.js';

/* Operators that act on each element, with broadcasting. */

/** Every output has the axes of the inputs. */
function elementwise(node: NodeContext): void {
  for (const output of node.outputs) for (const input of node.inputs) if (output !== undefined && input !== undefined) node.broadcast(input, output);
}

/** Elementwise, but each element depends on all along one axis. */
function alongAxis(node: NodeContext): void {
  elementwise(node);
  const { axes } = node.input(0);
  node.summarise(axes[node.axis(node.int('axis'), axes.length)]!);
}

function cumulativeSum(node: NodeContext): void {
  const { axes } = node.input(0);
  node.broadcast(node.input(0), node.output);
  const axis = node.ints(1, 'axis')?.[0];
  for (const [index, each] of axes.entries()) if (axis === undefined || node.axis(axis, axes.length) === index) node.summarise(each);
}

const names = [
  ...['Abs', 'Neg', 'Sign', 'Exp', 'Log', 'Sqrt', 'Reciprocal', 'Round', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Erf', 'Relu', 'Gelu', 'Not', 'Identity', 'Clip', 'Cast'],
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Mod', 'Max', 'Min', 'Sum', 'Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'And', 'Or', 'Xor', 'Where'],
  ...['com.microsoft::Gelu', 'com.microsoft::FastGelu', 'com.microsoft::QuickGelu'],
];

export const elementwiseRules: Readonly<Record<string, Rule>> = {
  ...Object.fromEntries(names.map((name): [string, Rule] => [name, elementwise])),
  Softmax: alongAxis,
  LogSoftmax: alongAxis,
  CumSum: cumulativeSum,
};
