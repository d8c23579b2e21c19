import { pareError, type GraphNode } from '@pare/core';

/** The error of a node whose inputs or attributes break its operator's rules. */
export function nodeError(graph: string, node: GraphNode, problem: string): Error {
  const operator = node.domain === '' || node.domain === 'ai.onnx' ? node.operator : `${node.domain}::${node.operator}`;
  return pareError('PARE_GRAPH_INVALID', { graph, node: node.name === '' ? operator : `"${node.name}" (${operator})`, problem });
}
