import { pareError, type Graph } from '@pare/core';
import { inferTypes } from './infer-types.js';
import { canonicalDomain } from './operators/operator-key.js';
import { checkNode } from './infer-node.js';
import { nodeError } from './operators/schema.js';

/**
 * Checks a graph whole: operators of the subset with fitting arity and attributes, operator sets declared, names unique, every value defined before
 * its use (topological order), inferred types and shapes free of contradictions and equal to the declared outputs.
 * @throws PARE_GRAPH_INVALID at the first problem, naming the node.
 */
export function validateGraph(graph: Graph): void {
  const fail = (node: string, problem: string): never => {
    throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node, problem });
  };
  const defined = new Set<string>();
  for (const input of graph.inputs) {
    if (input.name === '') fail('input', 'it has an empty name');
    if (defined.has(input.name)) fail(`input "${input.name}"`, 'it is declared twice');
    defined.add(input.name);
  }
  for (const name of graph.initializers.keys()) {
    if (defined.has(name)) fail(`initializer "${name}"`, 'an input has the same name');
    defined.add(name);
  }
  const producers = new Map<string, number>();
  for (const [index, node] of graph.nodes.entries()) for (const output of node.outputs) if (output !== '' && !producers.has(output)) producers.set(output, index);
  const names = new Set<string>();
  for (const [index, node] of graph.nodes.entries()) {
    checkNode(node, graph.name);
    if (graph.opsets[canonicalDomain(node.domain)] === undefined) throw nodeError(graph.name, node, `the graph declares no version of operator set "${node.domain}"`);
    if (node.name !== '' && names.has(node.name)) throw nodeError(graph.name, node, 'another node has the same name');
    names.add(node.name);
    for (const input of node.inputs) {
      if (input === '' || defined.has(input)) continue;
      const producer = producers.get(input);
      if (producer === undefined) throw nodeError(graph.name, node, `input "${input}" is produced by nothing`);
      throw nodeError(graph.name, node, producer === index ? `input "${input}" is its own output` : `input "${input}" is produced by a later node; nodes must be in topological order`);
    }
    for (const output of node.outputs) {
      if (output === '') continue;
      if (defined.has(output)) throw nodeError(graph.name, node, `output "${output}" names a value that exists already`);
      defined.add(output);
    }
  }
  const outputs = new Set<string>();
  for (const output of graph.outputs) {
    if (outputs.has(output.name)) fail(`output "${output.name}"`, 'it is declared twice');
    outputs.add(output.name);
  }
  inferTypes(graph);
}
