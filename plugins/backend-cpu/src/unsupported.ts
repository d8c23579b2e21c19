import type { Graph, GraphNode, UnsupportedOperator, ValueType } from '@pare/core';
import { inferTypes, isSupportedOperator } from '@pare/graph';
import { missingKernel } from './missing-kernels.js';

/**
 * Operators of `graph` that are unknown, have no kernel for their types, or one that computes something else. bfloat16 is never a reason:
 * `rewriteForSession` computes it in float32.
 * @throws PARE_GRAPH_INVALID when the graph breaks a rule of its operators.
 */
export function unsupportedOperators(graph: Graph): UnsupportedOperator[] {
  const report = (node: GraphNode, reason: string | undefined): UnsupportedOperator[] =>
    reason === undefined ? [] : [{ operator: node.operator, domain: node.domain, node: node.name, reason }];
  const unknown = graph.nodes.flatMap((node) => report(node, isSupportedOperator(node.operator, node.domain) ? undefined : 'it is not in the set of operators that Pare knows'));
  // Types cannot be followed through operators that nothing is known of.
  if (unknown.length > 0) return unknown;
  const types = inferTypes(graph);
  return graph.nodes.flatMap((node) => report(node, missingReason(node, types) ?? wrongReason(node, types)));
}

function missingReason(node: GraphNode, types: ReadonlyMap<string, ValueType>): string | undefined {
  const missing = missingKernel(node, types);
  return missing === undefined || missing.dtype === 'bfloat16' ? undefined : `onnxruntime has no CPU kernel for ${missing.dtype} at input ${String(missing.input)}`;
}

/** Kernels that give other results than the operator's definition, shown by ONNX's node cases. */
function wrongReason(node: GraphNode, types: ReadonlyMap<string, ValueType>): string | undefined {
  if (node.operator === 'QLinearMatMul' && types.get(node.inputs[0] ?? '')?.dtype === 'int8') {
    return 'onnxruntime computes other values than ONNX defines for int8 activations; uint8 ones are right';
  }
  if (node.operator === 'AveragePool' && node.attributes['ceil_mode'] === 1 && node.attributes['count_include_pad'] === 1) {
    return 'onnxruntime divides windows that reach beyond the padding by too small a count';
  }
  return undefined;
}
