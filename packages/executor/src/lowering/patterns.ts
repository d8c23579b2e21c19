import { elementCount, type Graph, type GraphNode } from '@pare/core';
import { broadcastTo } from '../expression/coordinates.js';
import { type LazyTensor, type StridedView } from './lazy-tensor.js';
import { reshaped } from './layout.js';
import { LoweringCall, type Lowering } from './lowering.js';
import { normaliseRows } from './normalisation.js';

/*
 * Groups of nodes that one kernel computes: attention, whose scores are never stored, and RMS norms as they are spelled out in graphs. A group is found by its
 * last node; the nodes inside it are left out when nobody else needs their values.
 */

/** A group of nodes found in a graph. */
export interface Match {
  /** The group's last node, whose output is the group's. */
  readonly last: GraphNode;
  /** The nodes inside, in order, without the last. */
  readonly inside: readonly GraphNode[];
  /** Lowers the group, or says (undefined) that it is not fit for one kernel after all. */
  lower(context: MatchContext): LazyTensor | undefined;
}

export interface MatchContext {
  readonly graph: Graph;
  readonly lowering: Lowering;
  readonly opset: number;
  value(name: string): LazyTensor;
}

interface Finder {
  producer(name: string | undefined): GraphNode | undefined;
  uses(name: string): number;
  /** The only element of a constant. */
  constant(name: string | undefined): number | undefined;
}

/** Finds groups among the nodes of a run. */
export function findMatches(graph: Graph, nodes: readonly GraphNode[]): Map<GraphNode, Match> {
  const producers = new Map<string, GraphNode>();
  const uses = new Map<string, number>();
  for (const node of nodes) {
    for (const output of node.outputs) producers.set(output, node);
    for (const input of node.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  }
  for (const { name } of graph.outputs) uses.set(name, (uses.get(name) ?? 0) + 1);
  const finder: Finder = {
    producer: (name) => (name === undefined ? undefined : producers.get(name)),
    uses: (name) => uses.get(name) ?? 0,
    constant: (name) => {
      const tensor = name === undefined ? undefined : graph.initializers.get(name);
      if (tensor === undefined || !('data' in tensor) || elementCount(tensor.shape) !== 1 || tensor.dtype !== 'float32') return undefined;
      return Number(tensor.data[0]);
    },
  };
  const matches = new Map<GraphNode, Match>();
  for (const node of nodes) {
    const match = matchAttention(finder, node) ?? matchRmsNorm(finder, node);
    if (match?.inside.every((inner) => inner.outputs.every((output) => output === '' || finder.uses(output) === 1)) === true) matches.set(node, match);
  }
  return matches;
}

const is = <O extends string>(node: GraphNode | undefined, operator: O): node is GraphNode & { readonly operator: O } => node?.operator === operator && (node.domain === '' || node.domain === 'ai.onnx');

/** softmax(cap(s·q·kᵀ) + mask)·v, with any of scale, cap and mask left out. */
function matchAttention({ producer, constant }: Finder, last: GraphNode): Match | undefined {
  if (!is(last, 'MatMul')) return undefined;
  const softmax = producer(last.inputs[0]);
  if (!is(softmax, 'Softmax')) return undefined;
  const inside: GraphNode[] = [softmax];
  let scores: GraphNode | undefined = producer(softmax.inputs[0]);
  let mask: string | undefined;
  if (is(scores, 'Add')) {
    // The side that leads to the product is the scores.
    const leads = (name: string | undefined): boolean => {
      const node = producer(name);
      return is(node, 'MatMul') || ((is(node, 'Mul') || is(node, 'Div')) && constant(node.inputs[1]) !== undefined);
    };
    const side = leads(scores.inputs[0]) ? 0 : leads(scores.inputs[1]) ? 1 : undefined;
    if (side === undefined) return undefined;
    inside.unshift(scores);
    mask = scores.inputs[1 - side];
    scores = producer(scores.inputs[side]);
  }
  let scale = 1;
  let cap = 0;
  if (is(scores, 'Mul')) {
    const outer = constant(scores.inputs[1]);
    const tanh = producer(scores.inputs[0]);
    const divided = is(tanh, 'Tanh') ? producer(tanh.inputs[0]) : undefined;
    if (outer === undefined) return undefined;
    if (is(tanh, 'Tanh')) {
      if (!is(divided, 'Div') || constant(divided.inputs[1]) !== outer) return undefined;
      cap = outer;
      inside.unshift(divided, tanh, scores);
      scores = producer(divided.inputs[0]);
    } else {
      scale = outer;
      inside.unshift(scores);
      scores = producer(scores.inputs[0]);
    }
  } else if (is(scores, 'Div')) {
    const divisor = constant(scores.inputs[1]);
    if (divisor === undefined) return undefined;
    scale = 1 / divisor;
    inside.unshift(scores);
    scores = producer(scores.inputs[0]);
  }
  if (!is(scores, 'MatMul')) return undefined;
  const transposition = producer(scores.inputs[1]);
  if (!is(transposition, 'Transpose')) return undefined;
  const order = transposition.attributes['perm'] as readonly number[] | undefined;
  if (order === undefined || !order.every((axis, index) => axis === (index < order.length - 2 ? index : order.length + order.length - 3 - index))) return undefined;
  inside.unshift(transposition, scores);
  const softmaxAxis = softmax.attributes['axis'];
  return {
    last,
    inside,
    lower: ({ graph, lowering, opset, value }) => {
      const call = new LoweringCall(graph, last, opset, lowering, []);
      const q = value(scores.inputs[0]!);
      if (opset < 13 || (softmaxAxis !== undefined && softmaxAxis !== -1 && softmaxAxis !== q.shape.length - 1)) return undefined;
      return attention(call, { q, k: value(transposition.inputs[0]!), v: value(last.inputs[1]!), mask: mask === undefined ? undefined : value(mask), scale, cap });
    },
  };
}

export interface AttentionInputs {
  /** [batch, key heads, group, queries, size], [batch, heads, queries, size] or [heads, queries, size]. */
  readonly q: LazyTensor;
  /** [batch, key heads, 1, keys, size], or of the rank of q. */
  readonly k: LazyTensor;
  readonly v: LazyTensor;
  /** Broadcasts to the scores. */
  readonly mask: LazyTensor | undefined;
  readonly scale: number;
  readonly cap: number;
  readonly causal?: boolean;
}

/** Largest head that attention kernels hold in registers and workgroup memory. */
const maximumHead = 256;

/** Attention by the device's routine; undefined where shapes do not suit it. */
export function attention(call: LoweringCall, { q, k, v, mask, scale, cap, causal = false }: AttentionInputs): LazyTensor | undefined {
  const { lowering } = call;
  const routine = lowering.target.routines.attention;
  const rank = q.shape.length;
  if (routine === undefined || k.shape.length !== rank || v.shape.length !== rank || rank < 3 || rank > 5) return undefined;
  if ([q, k, v, ...(mask === undefined ? [] : [mask])].some(({ dtype }) => dtype !== 'float32')) return undefined;
  const [queries, headSize] = q.shape.slice(-2) as [number, number];
  const [keys, valueSize] = [k.shape.at(-2)!, v.shape.at(-1)!];
  if (headSize > maximumHead || valueSize > maximumHead || k.shape.at(-1) !== headSize || v.shape.at(-2) !== keys || queries * keys * headSize * valueSize === 0) return undefined;
  const front = q.shape.slice(0, -2);
  const keyFront = k.shape.slice(0, -2);
  if (keyFront.join() !== v.shape.slice(0, -2).join()) return undefined;
  if (rank === 5 ? keyFront[2] !== 1 || keyFront[0] !== front[0] || keyFront[1] !== front[1] : keyFront.join() !== front.join()) return undefined;
  const batch = rank === 3 ? 1 : front[0]!;
  const heads = elementCount(front) / batch;
  const keyHeads = elementCount(keyFront) / batch;
  const four = (tensor: LazyTensor, number: number): StridedView => stackView(call, reshapedView(call, tensor, [batch, number, ...tensor.shape.slice(-2)]));
  const [qv, kv, vv] = [four(q, heads), four(k, keyHeads), four(v, keyHeads)];
  const strides = ({ strides: [a, b, c] }: StridedView): readonly [number, number, number] => [a!, b!, c!];
  const maskView = mask === undefined ? undefined : maskStrides(call, mask, [...front, queries, keys], heads);
  const y = lowering.output('float32', [...front, queries, valueSize]);
  const operand = (view: StridedView) => ({ buffer: view.buffer, offset: view.offset * 4 });
  lowering.program(
    routine(
      {
        batch,
        heads,
        keyHeads,
        queries,
        keys,
        headSize,
        valueSize,
        scale,
        cap,
        causal,
        qStrides: strides(qv),
        kStrides: strides(kv),
        vStrides: strides(vv),
        yStrides: [heads * queries * valueSize, queries * valueSize, valueSize],
        mask: maskView?.strides,
      },
      lowering.traits,
    ),
    { q: operand(qv), k: operand(kv), v: operand(vv), y: y.view.buffer, ...(maskView === undefined ? {} : { mask: operand(maskView.view) }) },
  );
  return y;
}

/** The tensor under another shape, as a view; copied where its strides do not allow one. */
function reshapedView(call: LoweringCall, tensor: LazyTensor, shape: readonly number[]): LazyTensor {
  const result = reshaped(tensor, shape);
  return result.view === undefined ? call.lowering.dense(result, call.name) : result;
}

/** A view whose features are adjacent and whose start a binding can have. */
function stackView(call: LoweringCall, tensor: LazyTensor): StridedView {
  const { view } = tensor;
  if (view !== undefined && (view.strides.at(-1) === 1 || tensor.shape.at(-1) === 1) && (view.offset * 4) % call.lowering.traits.offsetAlignment === 0) return view;
  return call.lowering.compute(call.name, tensor.dtype, tensor.shape, (coordinates) => tensor.at(coordinates)).view;
}

/** Strides of the mask along [batch, head, query, key]. */
function maskStrides(call: LoweringCall, mask: LazyTensor, scores: readonly number[], heads: number): { view: StridedView; strides: readonly [number, number, number, number] } {
  const padded = reshaped(mask, [...scores.slice(mask.shape.length).map(() => 1), ...mask.shape]);
  const front = padded.shape.slice(0, -2);
  const own = scores.length === 3 ? 1 : front[0]!;
  const ownHeads = elementCount(front) / own;
  const uneven = ownHeads !== 1 && ownHeads !== heads;
  const shape = [own, ownHeads, ...padded.shape.slice(-2)];
  const flat = uneven
    ? reshaped(call.lowering.compute(call.name, 'float32', [...front.map((extent, axis) => (axis === 0 && scores.length > 3 ? extent : scores[axis]!)), ...padded.shape.slice(-2)], (coordinates) => padded.at(broadcastTo(padded.shape, coordinates))), [own, heads, ...padded.shape.slice(-2)])
    : reshapedView(call, padded, shape);
  const tensor = flat.view !== undefined && (flat.view.offset * 4) % call.lowering.traits.offsetAlignment === 0 ? flat : copied(call, flat);
  const view = tensor.view!;
  return { view, strides: tensor.shape.map((extent, axis) => (extent === 1 ? 0 : view.strides[axis]!)) as unknown as readonly [number, number, number, number] };
}

function copied(call: LoweringCall, tensor: LazyTensor): LazyTensor {
  return call.lowering.compute(call.name, tensor.dtype, tensor.shape, (coordinates) => tensor.at(coordinates));
}

/** x / √(mean(x²) + ε) · w: Pow, ReduceMean, Add, Sqrt, Div, Mul. */
function matchRmsNorm({ producer, constant }: Finder, last: GraphNode): Match | undefined {
  if (!is(last, 'Mul')) return undefined;
  const division = producer(last.inputs[0]);
  if (!is(division, 'Div')) return undefined;
  const root = producer(division.inputs[1]);
  const sum = is(root, 'Sqrt') ? producer(root.inputs[0]) : undefined;
  const mean = is(sum, 'Add') ? producer(sum.inputs[0]) : undefined;
  const square = is(mean, 'ReduceMean') ? producer(mean.inputs[0]) : undefined;
  if (!is(root, 'Sqrt') || !is(sum, 'Add') || !is(mean, 'ReduceMean') || !is(square, 'Pow')) return undefined;
  const epsilon = constant(sum.inputs[1]);
  if (epsilon === undefined || constant(square.inputs[1]) !== 2 || square.inputs[0] !== division.inputs[0] || mean.attributes['keepdims'] === 0) return undefined;
  return {
    last,
    inside: [square, mean, sum, root, division],
    lower: ({ graph, lowering, opset, value }) => {
      const call = new LoweringCall(graph, last, opset, lowering, []);
      const x = value(square.inputs[0]!);
      const weight = value(last.inputs[1]!);
      const columns = x.shape.at(-1);
      if (columns === undefined || columns === 0 || x.dtype !== 'float32' || weight.dtype !== 'float32' || weight.shape.length !== 1 || weight.shape[0] !== columns) return undefined;
      const axes = mean.inputs[1] === undefined ? (mean.attributes['axes'] as readonly number[] | undefined) : Array.from((value(mean.inputs[1]).host?.data ?? []) as ArrayLike<number | bigint>, Number);
      if (axes?.length !== 1 || (axes[0] !== -1 && axes[0] !== x.shape.length - 1)) return undefined;
      const rows = elementCount(x.shape.slice(0, -1));
      return reshaped(normaliseRows(call, reshaped(x, [rows, columns]), 'rms', epsilon, weight, undefined, false).y, x.shape);
    },
  };
}
