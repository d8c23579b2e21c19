import { isHostInitializer, planRun, tensorBytes, type Graph, type GraphNode, type HostTensor, type ValueInfo } from '@pare/core';
import { evaluateNode, opsetOf } from '@pare/operators';
import type { BufferReference } from '../expression/expression.js';
import { bufferTensor, type LazyTensor } from './lazy-tensor.js';
import { CannotLower, Lowering, LoweringCall, NeedsElements, TooManyOperands, type LoweringTarget, type PlanBuffer, type PlanStep } from './lowering.js';
import { findMatches, type Match } from './patterns.js';
import { loweringOf } from './table.js';

/** A tensor in a buffer of a plan. */
export interface PlannedTensor {
  readonly buffer: BufferReference;
  readonly dtype: HostTensor['dtype'];
  readonly shape: readonly number[];
}

/** Steps that compute a graph's outputs for inputs of certain shapes, as far as they can be known. */
export interface LoweredGraph {
  readonly buffers: readonly PlanBuffer[];
  readonly steps: readonly PlanStep[];
  /** The wanted outputs by name; undefined while elements must be read first. */
  readonly outputs: ReadonlyMap<string, PlannedTensor> | undefined;
  /** The tensor whose elements decide how to go on. */
  readonly needs: PlannedTensor | undefined;
  /** Nodes that ran on the host, with the reason. */
  readonly onHost: readonly { readonly node: GraphNode; readonly reason: string }[];
}

export interface LoweringRequest {
  readonly graph: Graph;
  readonly wanted: readonly string[] | undefined;
  readonly inputShapes: Readonly<Record<string, readonly number[]>>;
  /** Elements read from the device so far, in the order they were needed. */
  readonly reads: readonly HostTensor[];
  /** Graph inputs whose elements the host has, by name. */
  readonly known?: Readonly<Record<string, HostTensor>> | undefined;
}

/** Values that the host computes rather than the device, in elements of all inputs together. */
const hostWork = 4096;
/** Work of an element above which a value that several nodes need is computed once. */
const sharedWork = 2;

/**
 * Lowers the nodes that the wanted outputs need.
 * @throws PARE_GRAPH_INVALID when a node's inputs break its rules
 */
export function lowerGraph(target: LoweringTarget, request: LoweringRequest): LoweredGraph {
  const { graph, wanted, inputShapes, reads } = request;
  const lowering = new Lowering(target, reads);
  const run = planRun(graph, wanted);
  const nodes = run.steps.map(({ node }) => node);
  const values = new Map<string, LazyTensor>();
  const onHost: { node: GraphNode; reason: string }[] = [];
  for (const input of graph.inputs) values.set(input.name, inputTensor(lowering, input, inputShapes[input.name]!, request.known?.[input.name]));
  for (const [name, initializer] of graph.initializers) {
    const host = isHostInitializer(initializer) && Lowering.keepsOnHost(initializer) ? initializer : undefined;
    values.set(
      name,
      host === undefined
        ? bufferTensor(initializer.dtype, initializer.shape, lowering.buffer(tensorBytes(initializer), { kind: 'constant', name }))
        : lowering.hostTensor(host, () => lowering.buffer(tensorBytes(host), { kind: 'constant', name })),
    );
  }
  const uses = countUses(nodes, run.outputs);
  const matches = findMatches(graph, nodes);
  const absorbed = new Set([...matches.values()].flatMap((match) => match.inside));
  const value = (name: string): LazyTensor => values.get(name)!;

  const keep = (node: GraphNode, results: readonly (LazyTensor | undefined)[]): void => {
    for (const [position, name] of node.outputs.entries()) {
      const result = results[position];
      if (name === '' || result === undefined) continue;
      const shared = (uses.get(name) ?? 0) > 1 && result.work > sharedWork;
      values.set(name, shared || result.loops ? lowering.dense(result, node.operator) : result);
    }
  };
  const lowerNode = (node: GraphNode): void => {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : value(name)));
    keep(node, lowerOne(graph, node, lowering, inputs, onHost));
  };
  const lowerMatch = (match: Match): void => {
    const result = match.lower({ graph, lowering, opset: opsetOf(graph, match.last) ?? 21, value });
    if (result !== undefined) {
      keep(match.last, [result]);
      return;
    }
    for (const node of match.inside) lowerNode(node);
    lowerNode(match.last);
  };

  try {
    for (const node of nodes) {
      if (absorbed.has(node)) continue;
      const match = matches.get(node);
      if (match === undefined) lowerNode(node);
      else lowerMatch(match);
    }
    const outputs = new Map<string, PlannedTensor>();
    for (const name of run.outputs) {
      const { dtype, shape, view } = lowering.dense(value(name), 'output');
      outputs.set(name, { buffer: view.buffer, dtype, shape });
    }
    return { buffers: lowering.buffers, steps: lowering.steps, outputs, needs: undefined, onHost };
  } catch (error) {
    if (!(error instanceof NeedsElements)) throw error;
    const { buffer, dtype, shape } = error;
    return { buffers: lowering.buffers, steps: lowering.steps, outputs: undefined, needs: { buffer, dtype, shape }, onHost };
  }
}

function inputTensor(lowering: Lowering, { name, dtype }: ValueInfo, shape: readonly number[], known: HostTensor | undefined): LazyTensor {
  return bufferTensor(dtype, shape, lowering.buffer(tensorBytes({ dtype, shape }), { kind: 'input', name }), known);
}

function countUses(nodes: readonly GraphNode[], outputs: readonly string[]): Map<string, number> {
  const uses = new Map<string, number>();
  for (const name of [...nodes.flatMap((node) => node.inputs), ...outputs]) uses.set(name, (uses.get(name) ?? 0) + 1);
  return uses;
}

function lowerOne(graph: Graph, node: GraphNode, lowering: Lowering, inputs: readonly (LazyTensor | undefined)[], onHost: { node: GraphNode; reason: string }[]): readonly (LazyTensor | undefined)[] {
  const opset = opsetOf(graph, node) ?? 21;
  // Arithmetic on shapes stays on the host.
  const known = inputs.map((tensor) => tensor?.host);
  const size = inputs.reduce((sum, tensor) => sum + (tensor?.host?.data.length ?? 0), 0);
  if (size <= hostWork && inputs.every((tensor, index) => tensor === undefined || known[index] !== undefined)) {
    const results = evaluateNode(node, known, { opset, graph: graph.name });
    if (results.every((result) => Lowering.keepsOnHost(result))) return results.map((result) => lowering.hostTensor(result));
  }
  const lower = loweringOf(node);
  if (lower === undefined) return evaluateOnHost(graph, node, lowering, inputs, opset, onHost, 'no kernel for this operator');
  const before = lowering.mark();
  try {
    return lower(new LoweringCall(graph, node, opset, lowering, inputs));
  } catch (error) {
    if (!(error instanceof CannotLower) && !(error instanceof TooManyOperands)) throw error;
    // What the attempt had added is not needed.
    lowering.forgetSince(before);
    return evaluateOnHost(graph, node, lowering, inputs, opset, onHost, error.message);
  }
}

/** Reads a node's inputs and computes it in TypeScript. */
function evaluateOnHost(
  graph: Graph,
  node: GraphNode,
  lowering: Lowering,
  inputs: readonly (LazyTensor | undefined)[],
  opset: number,
  onHost: { node: GraphNode; reason: string }[],
  reason: string,
): readonly LazyTensor[] {
  onHost.push({ node, reason });
  const given = inputs.map((tensor) => (tensor === undefined ? undefined : lowering.elements(tensor)));
  return evaluateNode(node, given, { opset, graph: graph.name }).map((result) => lowering.hostTensor(result));
}
