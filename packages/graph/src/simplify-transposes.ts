import type { Graph, GraphNode } from '@pare/core';
import { canonicalDomain } from './operators/operator-key.js';
import { removeUnused } from './remove-unused.js';

/**
 * Takes transpositions out that cost a copy and change nothing: of two in a row one is left or none, a transposed operand of `Gemm` becomes its `transA` or `transB`, and a
 * transposed `Gemm` that is used nowhere else the product of its operands in reverse.
 */
export function simplifyTransposes(graph: Graph): Graph {
  const uses = countUses(graph);
  const producers = new Map<string, GraphNode>();
  const renamed = new Map<string, string>();
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const nodes: GraphNode[] = [];
  for (const original of graph.nodes) {
    let node: GraphNode = { ...original, inputs: original.inputs.map((name) => renamed.get(name) ?? name) };
    if (isOwn(node, 'Transpose')) node = simplifyTranspose(node, producers, uses);
    else if (isOwn(node, 'Gemm')) node = foldOperands(node, producers);
    const output = node.outputs[0]!;
    if (isOwn(node, 'Identity') && !isOwn(original, 'Identity') && !outputs.has(output)) {
      renamed.set(output, node.inputs[0]!);
      continue;
    }
    nodes.push(node);
    for (const name of node.outputs) producers.set(name, node);
  }
  return removeUnused({ ...graph, nodes });
}

const isOwn = (node: GraphNode | undefined, operator: string): node is GraphNode => node?.operator === operator && canonicalDomain(node.domain) === '';
const order = (node: GraphNode): readonly number[] | undefined => node.attributes['perm'] as readonly number[] | undefined;
const isSwap = (perm: readonly number[] | undefined): boolean => perm?.length === 2 && perm[0] === 1;

function countUses(graph: Graph): Map<string, number> {
  const uses = new Map<string, number>(graph.outputs.map(({ name }) => [name, 1]));
  for (const node of graph.nodes) for (const input of node.inputs) uses.set(input, (uses.get(input) ?? 0) + 1);
  return uses;
}

function simplifyTranspose(node: GraphNode, producers: ReadonlyMap<string, GraphNode>, uses: ReadonlyMap<string, number>): GraphNode {
  const [input] = node.inputs as [string];
  const perm = order(node);
  const before = producers.get(input);
  if (perm === undefined || before === undefined) return node;
  const inner = isOwn(before, 'Transpose') ? order(before) : undefined;
  if (inner !== undefined) {
    const both = perm.map((axis) => inner[axis]!);
    const unchanged = both.every((axis, index) => axis === index);
    return unchanged ? { ...node, operator: 'Identity', inputs: [before.inputs[0]!], attributes: {} } : { ...node, inputs: [before.inputs[0]!], attributes: { perm: both } };
  }
  // (A·B)ᵀ = Bᵀ·Aᵀ
  const [a, b, c] = before.inputs;
  if (!isOwn(before, 'Gemm') || !isSwap(perm) || (c ?? '') !== '' || uses.get(input) !== 1) return node;
  const { transA = 0, transB = 0, ...others } = before.attributes as Record<string, number>;
  return { ...node, operator: 'Gemm', inputs: [b!, a!], attributes: { ...others, transA: 1 - transB, transB: 1 - transA } };
}

function foldOperands(node: GraphNode, producers: ReadonlyMap<string, GraphNode>): GraphNode {
  const inputs = [...node.inputs];
  const attributes: Record<string, number> = { ...(node.attributes as Record<string, number>) };
  for (const [index, flag] of [[0, 'transA'], [1, 'transB']] as const) {
    const producer = producers.get(inputs[index]!);
    if (!isOwn(producer, 'Transpose') || !isSwap(order(producer))) continue;
    inputs[index] = producer.inputs[0]!;
    attributes[flag] = 1 - (attributes[flag] ?? 0);
  }
  return { ...node, inputs, attributes };
}
