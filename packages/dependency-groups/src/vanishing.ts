import { pareError, type Graph, type GraphNode } from '@pare/core';
import { resolve, type Axis } from './axis.js';
import type { TracedValue } from './rules/rule.js';

/* An axis without indices leaves a value without elements. A sum loses such a term, a product over it is zero, and what only fed it is not needed: so the router's row of an expert takes the
   expert's matrices with it, and the last neuron of a layer the whole layer. */

/** How a value that is gone, or zero everywhere, takes a node's output with it. */
type Passing = 'any' | 'first' | 'all';

const passing: ReadonlyMap<string, Passing> = new Map([
  ...['Mul', 'MatMul', 'And'].map((name): [string, Passing] => [name, 'any']),
  ...['Add', 'Sub', 'Sum', 'Concat'].map((name): [string, Passing] => [name, 'all']),
  ...['Abs', 'Neg', 'Sign', 'Sqrt', 'Round', 'Sin', 'Tanh', 'Erf', 'Relu', 'Gelu', 'Identity', 'Cast', 'Div'].map((name): [string, Passing] => [name, 'first']),
  ...['ReduceSum', 'ReduceMean', 'ReduceSumSquare', 'ReduceL2', 'ReduceMax', 'ReduceMin', 'GlobalAveragePool', 'AveragePool', 'MaxPool'].map((name): [string, Passing] => [name, 'first']),
  ...['Reshape', 'Flatten', 'Transpose', 'Squeeze', 'Unsqueeze', 'Split', 'Slice', 'Gather', 'GatherElements', 'Expand'].map((name): [string, Passing] => [name, 'first']),
]);

/**
 * Parameters that nothing needs once these axes are empty.
 * @throws PARE_SLICE_FIXED when an output of the graph would go, too
 */
export function vanishing(graph: Graph, values: ReadonlyMap<string, TracedValue>, emptied: ReadonlySet<Axis>): Set<string> {
  const gone = new Set<string>();
  for (const { name, axes } of values.values()) if (axes.some((axis) => isEmpty(axis, emptied))) gone.add(name);
  for (const node of graph.nodes) if (goesWith(node, gone)) for (const output of node.outputs) gone.add(output);
  const lost = graph.outputs.find(({ name }) => gone.has(name));
  if (lost !== undefined) {
    throw pareError('PARE_SLICE_FIXED', { tensor: lost.name, axis: 0, index: 0, reasons: [`nothing of the model’s output "${lost.name}" would remain`] });
  }
  const before = neededBy(graph, new Set());
  const after = neededBy(graph, gone);
  const parameters = [...graph.initializers.keys(), ...graph.inputs.map(({ name }) => name)];
  return new Set(parameters.filter((name) => before.has(name) && !after.has(name)));
}

function isEmpty(axis: Axis, emptied: ReadonlySet<Axis>): boolean {
  const root = resolve(axis);
  if (emptied.has(root)) return true;
  if (root.structure === undefined) return false;
  const empty = (part: Axis): boolean => isEmpty(part, emptied);
  return root.structure.kind === 'product' ? root.structure.parts.some(empty) : root.structure.parts.every(empty);
}

function goesWith(node: GraphNode, gone: ReadonlySet<string>): boolean {
  const inputs = node.inputs.filter((name) => name !== '');
  switch (passing.get(node.operator)) {
    case 'any':
      return inputs.some((name) => gone.has(name));
    case 'all':
      return inputs.length > 0 && inputs.every((name) => gone.has(name));
    case 'first':
      return gone.has(inputs[0]!);
    case undefined:
      return false;
  }
}

/** Values that the outputs need when those that are gone are needed by nobody. */
function neededBy(graph: Graph, gone: ReadonlySet<string>): Set<string> {
  const needed = new Set(graph.outputs.map(({ name }) => name));
  for (let index = graph.nodes.length - 1; index >= 0; index--) {
    const node = graph.nodes[index]!;
    if (!node.outputs.some((name) => needed.has(name) && !gone.has(name))) continue;
    for (const name of node.inputs) if (name !== '' && !gone.has(name)) needed.add(name);
  }
  return needed;
}
