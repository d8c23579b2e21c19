import { Axis } from '../axis.js';
import type { NodeContext, Rule, TracedValue } from './rule.js';

/* Products, convolutions and normalisations. */

/** [..., M, K] · [..., K, N], leading axes broadcast; a vector has K alone. */
function product(left: number, right: number): Rule {
  return (node) => {
    const [a, b] = [node.input(left), node.input(right)];
    const { axes } = node.output;
    const inner = b.axes.length === 1 ? b.axes[0]! : b.axes.at(-2)!;
    node.link(a.axes.at(-1)!, inner);
    const columns = b.axes.length === 1 ? 0 : 1;
    if (columns === 1) node.link(b.axes.at(-1)!, axes.at(-1)!);
    if (a.axes.length > 1) node.link(a.axes.at(-2)!, axes[axes.length - 1 - columns]!);
    const rows = a.axes.length > 1 ? 1 : 0;
    const leading = (value: Pick<TracedValue, 'name' | 'shape' | 'axes'>, trailing: number): TracedValue => ({
      ...value,
      shape: value.shape.slice(0, value.shape.length - trailing),
      axes: value.axes.slice(0, value.axes.length - trailing),
    });
    const batch = leading(node.output, rows + columns);
    if (a.axes.length > 2) node.broadcast(leading(a, 2), batch);
    if (b.axes.length > 2) node.broadcast(leading(b, 2), batch);
  };
}

function gemm(node: NodeContext): void {
  const oriented = (value: TracedValue, transposed: boolean): [Axis, Axis] => (transposed ? [value.axes[1]!, value.axes[0]!] : [value.axes[0]!, value.axes[1]!]);
  const [rows, inner] = oriented(node.input(0), node.int('transA') === 1);
  const [height, columns] = oriented(node.input(1), node.int('transB') === 1);
  node.link(inner, height);
  node.link(rows, node.output.axes[0]!);
  node.link(columns, node.output.axes[1]!);
  if (node.inputs[2] !== undefined) node.broadcast(node.inputs[2], node.output);
}

/** X [N, C, …], W [M, C / group, …], B [M]. With groups C is group × (C / group) and M is group × (M / group): a group goes as a whole. */
function convolution(node: NodeContext): void {
  const [x, w] = [node.input(0), node.input(1)];
  const bias = node.inputs[2];
  const [batch, channels, ...window] = node.output.axes;
  const groups = node.int('group');
  node.link(x.axes[0]!, batch!);
  node.link(w.axes[0]!, channels!);
  if (bias !== undefined) node.link(bias.axes[0]!, channels!);
  if (groups === 1) node.link(x.axes[1]!, w.axes[1]!);
  else {
    const group = new Axis(groups);
    const perGroup = new Axis(Number(w.shape[0]) / groups);
    node.linkFactors([x.axes[1]!], [group, w.axes[1]!]);
    node.linkFactors([w.axes[0]!], [group, perGroup]);
  }
  for (const axis of [...window, ...x.axes.slice(2), ...w.axes.slice(2)]) node.fix(axis, 'a window slides over it');
}

/** [N, C, …] → [N, C, …] with windows over the rest. */
function pooling(node: NodeContext): void {
  const { axes } = node.input(0);
  for (const axis of axes.slice(2)) node.fix(axis, 'a window slides over it');
  for (const output of node.outputs) {
    if (output === undefined) continue;
    node.link(axes[0]!, output.axes[0]!);
    node.link(axes[1]!, output.axes[1]!);
    for (const axis of output.axes.slice(2)) node.fix(axis, 'a window slides over it');
  }
}

/** Statistics are each channel's own. */
function batchNormalization(node: NodeContext): void {
  node.broadcast(node.input(0), node.output);
  const channels = node.input(0).axes[1]!;
  for (const value of [...node.inputs.slice(1), ...node.outputs.slice(1)]) if (value !== undefined) node.link(channels, value.axes[0]!);
}

/** Mean and variance over all axes from `axis` on, which scale and bias have. */
function layerNormalization(node: NodeContext): void {
  const { axes } = node.input(0);
  const first = node.axis(node.int('axis'), axes.length);
  node.broadcast(node.input(0), node.output);
  for (const parameter of node.inputs.slice(1)) if (parameter !== undefined) node.broadcast(parameter, node.output);
  for (const statistic of node.outputs.slice(1)) if (statistic !== undefined) node.broadcast(statistic, node.output);
  for (const axis of axes.slice(first)) node.summarise(axis);
}

export const matrixRules: Readonly<Record<string, Rule>> = {
  MatMul: product(0, 1),
  MatMulInteger: product(0, 1),
  Gemm: gemm,
  Conv: convolution,
  AveragePool: pooling,
  MaxPool: pooling,
  GlobalAveragePool: pooling,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
  'com.microsoft::SimplifiedLayerNormalization': layerNormalization,
};

