import type { AttributeValue, Graph, GraphNode } from '@pare/core';
import { canonicalDomain } from './operators/operator-key.js';
import { isTensorAttribute } from './operators/schema.js';

/**
 * The graph without repetitions: nodes with the same operator, inputs and attributes become one. Outputs of the graph keep their names and are not merged into one another.
 * Every operator of the subset gives the same outputs for the same inputs.
 */
export function mergeEqualNodes(graph: Graph): Graph {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const first = new Map<string, GraphNode>();
  const replaced = new Map<string, string>();
  const nodes: GraphNode[] = [];
  for (const original of graph.nodes) {
    const inputs = original.inputs.map((name) => replaced.get(name) ?? name);
    const node = { ...original, inputs };
    const key = original.outputs.some((name) => outputs.has(name)) ? undefined : keyOf(node);
    const known = key === undefined ? undefined : first.get(key);
    if (known === undefined) {
      nodes.push(node);
      if (key !== undefined) first.set(key, node);
      continue;
    }
    for (const [index, name] of node.outputs.entries()) if (name !== '') replaced.set(name, known.outputs[index]!);
  }
  return { ...graph, nodes };
}

/** Text that equal nodes share; undefined for nodes with tensors as attributes, which are not compared. */
function keyOf({ operator, domain, inputs, outputs, attributes }: GraphNode): string | undefined {
  const entries = Object.entries<AttributeValue>(attributes).sort(([left], [right]) => (left < right ? -1 : 1));
  if (entries.some(([, value]) => isTensorAttribute(value))) return undefined;
  return JSON.stringify([canonicalDomain(domain), operator, inputs, outputs.map((name) => name !== ''), entries]);
}
