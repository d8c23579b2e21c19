import type { Dimension, Graph, GraphNode, ValueType } from '@pare/core';
import { inferTypes } from '@pare/graph';

/** One matrix product of a graph. */
export interface MatrixProduct {
  /** Multiply-accumulates: elements of the output × length of the inner products. */
  readonly macs: number;
  /** Graph input or constant that is the second factor, as it is or transposed or cast; undefined for a product of two computed values. */
  readonly weight: string | undefined;
}

/**
 * The matrix products of a graph whose shapes are all known: MatMul and Gemm. Elementwise operators, norms, softmax and lookups are not products and are left out, and
 * so are the additions of biases.
 */
export function matrixProducts(graph: Graph): MatrixProduct[] {
  const types = inferTypes(graph);
  const weights = new Map<string, string>();
  for (const { name } of graph.inputs) weights.set(name, name);
  for (const name of graph.initializers.keys()) weights.set(name, name);
  const products: MatrixProduct[] = [];
  for (const node of graph.nodes) {
    const source = weights.get(node.inputs[0] ?? '');
    if (source !== undefined && layoutOperators.has(node.operator)) weights.set(node.outputs[0]!, source);
    if (node.domain === '' && (node.operator === 'MatMul' || node.operator === 'Gemm')) {
      products.push({ macs: elements(sizes(types, node.outputs[0]!)) * innerLength(node, types), weight: weights.get(node.inputs[1]!) });
    }
  }
  return products;
}

/** Operators that leave a weight what it is. */
const layoutOperators: ReadonlySet<string> = new Set(['Transpose', 'Cast', 'Identity']);

function innerLength(node: GraphNode, types: ReadonlyMap<string, ValueType>): number {
  const left = sizes(types, node.inputs[0]!);
  const transposed = node.operator === 'Gemm' && node.attributes['transA'] === 1;
  return transposed ? left[0]! : left.at(-1)!;
}

function sizes(types: ReadonlyMap<string, ValueType>, name: string): number[] {
  const shape: readonly Dimension[] | undefined = types.get(name)?.shape;
  return (shape ?? ['unknown']).map((dimension) => {
    if (typeof dimension !== 'number') throw new Error(`the size of "${name}" is not known before the graph runs: ${dimension}`);
    return dimension;
  });
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
