import type { Graph, UnsupportedOperator } from '@pare/core';
import { inferTypes } from '@pare/graph';
import { layoutLowerings } from './layout.js';
import { loweringOf } from './table.js';

/** Operators that move float64 elements without computing in it. */
const movers = new Set([...Object.keys(layoutLowerings), '::Gather', '::GatherElements', '::GatherND', '::Where', '::Constant']);

/** Nodes that run on the host: without a kernel, or in a type that kernels do not compute in. */
export function findFallbacks(graph: Graph, language: string): readonly UnsupportedOperator[] {
  const types = inferTypes(graph);
  return graph.nodes.flatMap((node) => {
    const key = `${node.domain === 'ai.onnx' ? '' : node.domain}::${node.operator}`;
    const entry = (reason: string): readonly UnsupportedOperator[] => [{ operator: node.operator, domain: node.domain, node: node.name, reason }];
    if (node.operator === 'Constant') return [];
    if (loweringOf(node) === undefined) return entry(`no ${language} kernel`);
    const wide = [...node.inputs, ...node.outputs].some((name) => types.get(name)?.dtype === 'float64');
    return wide && !movers.has(key) ? entry('kernels do not compute in float64') : [];
  });
}
