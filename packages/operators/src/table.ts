import { isHostInitializer, pareError, type Graph, type GraphNode, type HostTensor, type UnsupportedOperator } from '@pare/core';
import { attention } from './attention.js';
import { castTargetProblem, elementwise } from './elementwise.js';
import { indexing } from './indexing.js';
import { fail, type Kernel } from './kernel.js';
import { layout } from './layout.js';
import { loss } from './loss.js';
import { matrix } from './matrix.js';
import { normalisation } from './normalisation.js';
import { poolingConvolution } from './pooling-convolution.js';
import { quantization } from './quantization.js';
import { reduction } from './reduction.js';

/** Every kernel by `domain::Operator`; ONNX's own domain is the empty string, so `::MatMul`. */
export const operatorTable: ReadonlyMap<string, Kernel> = new Map([
  ...elementwise,
  ...reduction,
  ...matrix,
  ...normalisation,
  ...layout,
  ...indexing,
  ...quantization,
  ...poolingConvolution,
  ...loss,
  ...attention,
]);

/** The operator set version that a node is evaluated under when none is given. */
const defaultOpset = 21;

function kernelOf(node: GraphNode): Kernel | undefined {
  return operatorTable.get(`${node.domain === 'ai.onnx' ? '' : node.domain}::${node.operator}`);
}

/** Why a node cannot be evaluated, or undefined. */
export function unsupportedReason(node: GraphNode): string | undefined {
  if (kernelOf(node) === undefined) return 'no such operator here';
  return node.operator === 'Cast' ? castTargetProblem(node) : undefined;
}

/** Nodes of a graph that cannot be evaluated, with the reason. */
export function unsupportedOperators(graph: Graph): readonly UnsupportedOperator[] {
  return graph.nodes.flatMap((node) => {
    const reason = unsupportedReason(node);
    return reason === undefined ? [] : [{ operator: node.operator, domain: node.domain, node: node.name, reason }];
  });
}

/**
 * Evaluates one node. Absent optional inputs are undefined. Outputs come in the node's order and may share storage with inputs, which are
 * never written to. `opset` is the version of the node's operator set, 21 by default.
 * @throws PARE_OPERATOR_UNSUPPORTED for an unknown operator, PARE_GRAPH_INVALID when inputs or attributes break the operator's rules.
 */
export function evaluateNode(
  node: GraphNode,
  inputs: readonly (HostTensor | undefined)[],
  options: { readonly opset?: number | undefined; readonly graph?: string } = {},
): HostTensor[] {
  const graph = options.graph ?? '';
  const reason = unsupportedReason(node);
  if (reason !== undefined) throw pareError('PARE_OPERATOR_UNSUPPORTED', { backend: 'reference', graph, operators: [`${node.operator} (${reason})`] });
  const outputs = kernelOf(node)!({ node, inputs, opset: options.opset ?? defaultOpset, graph });
  return outputs.slice(0, Math.max(1, node.outputs.length));
}

/** Opset of a node's domain in a graph. */
export function opsetOf(graph: Graph, node: GraphNode): number | undefined {
  return graph.opsets[node.domain] ?? (node.domain === '' ? graph.opsets['ai.onnx'] : undefined);
}

/**
 * Evaluates a whole graph on host tensors and returns its outputs. For tests and small graphs: every intermediate value lives until the end,
 * and initializers must be in memory.
 */
export function evaluateGraph(graph: Graph, inputs: Readonly<Record<string, HostTensor>>): Record<string, HostTensor> {
  const values = new Map<string, HostTensor>(Object.entries(inputs));
  for (const [name, initializer] of graph.initializers) {
    if (values.has(name)) continue;
    if (!isHostInitializer(initializer))
      throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: name, problem: 'its bytes are not in memory; read the initializer first' });
    values.set(name, initializer);
  }
  for (const node of graph.nodes) {
    const given = node.inputs.map((name) => {
      if (name === '') return undefined;
      return values.get(name) ?? fail({ node, inputs: [], opset: 0, graph: graph.name }, `value "${name}" is not defined`);
    });
    const results = evaluateNode(node, given, { opset: opsetOf(graph, node), graph: graph.name });
    node.outputs.forEach((name, position) => {
      if (name !== '') values.set(name, results[position]!);
    });
  }
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, values.get(name)!]));
}
