import type { DeviceTensor } from './backend.js';
import { pareError } from './errors.js';
import type { Dimension, Graph, GraphNode } from './graph.js';

/* What every backend does around running a graph: checking inputs, and knowing when a value is no longer needed. */

const shapeText = (shape: readonly Dimension[]): string => `[${shape.map(String).join(', ')}]`;

/**
 * Checks that `inputs` are the graph's, alive, of its types, and of shapes that give each symbolic dimension one size. Returns those sizes.
 * @throws PARE_TENSOR_MISMATCH or PARE_TENSOR_DISPOSED naming the first input that does not fit.
 */
export function checkRunInputs(backend: string, graph: Graph, inputs: Readonly<Record<string, DeviceTensor>>): Record<string, number> {
  const mismatch = (input: string, found: string, expected: string): never => {
    throw pareError('PARE_TENSOR_MISMATCH', { graph: graph.name, input, found, expected });
  };
  const sizes: Record<string, number> = {};
  const owners: Record<string, string> = {};
  for (const { name, dtype, shape } of graph.inputs) {
    const expected = `${dtype} ${shape === undefined ? 'of any shape' : shapeText(shape)}`;
    const tensor = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
    if (tensor === undefined) return mismatch(name, 'nothing', expected);
    if (tensor.disposed) throw pareError('PARE_TENSOR_DISPOSED', { operation: `run of graph "${graph.name}", input "${name}",`, backend });
    const found = `${tensor.dtype} ${shapeText(tensor.shape)}`;
    if (tensor.dtype !== dtype || (shape !== undefined && shape.length !== tensor.shape.length)) mismatch(name, found, expected);
    for (const [axis, dimension] of (shape ?? []).entries()) {
      const size = tensor.shape[axis]!;
      if (typeof dimension === 'number') {
        if (size !== dimension) mismatch(name, found, expected);
      } else if (!Object.hasOwn(sizes, dimension)) {
        sizes[dimension] = size;
        owners[dimension] = name;
      } else if (sizes[dimension] !== size) {
        mismatch(name, found, `${expected} where ${dimension} is ${String(sizes[dimension])}, as in input "${owners[dimension]!}"`);
      }
    }
  }
  const names = graph.inputs.map((input) => input.name);
  const extra = Object.keys(inputs).find((name) => !names.includes(name));
  if (extra !== undefined) mismatch(extra, 'a tensor for an input that the graph lacks', `only ${names.join(', ')}`);
  return sizes;
}

/** One step of a run. */
export interface RunStep {
  readonly node: GraphNode;
  /** Values made by nodes that nothing needs after this step. */
  readonly release: readonly string[];
}

/** How a graph runs for some of its outputs. */
export interface RunPlan {
  /** Names of the outputs to hand out. */
  readonly outputs: readonly string[];
  /** The nodes they need, in order. */
  readonly steps: readonly RunStep[];
}

/**
 * The nodes that the wanted outputs need (all outputs by default), and after which of them each intermediate value can go.
 * @throws PARE_TENSOR_MISMATCH when the graph has no such output.
 */
export function planRun(graph: Graph, wanted?: readonly string[]): RunPlan {
  const known = graph.outputs.map((output) => output.name);
  const outputs = wanted === undefined ? known : [...new Set(wanted)];
  const stranger = outputs.find((name) => !known.includes(name));
  if (stranger !== undefined) {
    throw pareError('PARE_TENSOR_MISMATCH', {
      graph: graph.name,
      input: stranger,
      found: 'a request for an output that the graph lacks',
      expected: `one of ${known.join(', ')}`,
    });
  }
  const needed = new Set(outputs);
  const nodes: GraphNode[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    nodes.push(node);
    for (const name of node.inputs) if (name !== '') needed.add(name);
  }
  nodes.reverse();
  const made = new Set(nodes.flatMap((node) => node.outputs));
  const last = new Map<string, number>();
  for (const [index, node] of nodes.entries()) for (const name of [...node.inputs, ...node.outputs]) if (made.has(name)) last.set(name, index);
  const release: string[][] = nodes.map(() => []);
  for (const [name, index] of last) if (name !== '' && !outputs.includes(name)) release[index]!.push(name);
  return { outputs, steps: nodes.map((node, index) => ({ node, release: release[index]! })) };
}
