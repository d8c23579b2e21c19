import type { BlockDescription, GraphNode, HostTensor } from '@pare/core';
import { isHostInitializer } from '@pare/core';
import { foldConstants, inferTypes } from '@pare/graph';
import { buildBlockGraph, relativeBlock, type BlockParameter } from '@pare/model';
import { evaluateNode } from '@pare/operators';

/** Positions of the window that is looked at: two, so that a factor that would differ between positions shows. */
const positions = 2;

/** A node that multiplies by a module's matrix. */
export interface LinearNode {
  /** Relative to the block. */
  readonly module: string;
  /** Names of what it reads and what it makes. */
  readonly input: string;
  readonly output: string;
}

/** A block's graph over one short window, with the shape of every value and who makes and reads it. */
export interface BlockValues {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly producers: ReadonlyMap<string, GraphNode>;
  readonly readers: ReadonlyMap<string, readonly GraphNode[]>;
  readonly linears: ReadonlyMap<GraphNode, LinearNode>;
  /** Norm weights, biases and matrices by the name of their graph input. */
  readonly parameters: ReadonlyMap<string, BlockParameter>;
  readonly constants: ReadonlyMap<string, HostTensor>;
  readonly outputs: ReadonlySet<string>;
  /** Operators between a value and the nearest parameter that it is made from; Infinity where there is none. */
  distance(value: string): number;
}

/** Builds the graph of a block and looks at it. Every expert of a mixture is in it. */
export function readBlockValues(block: BlockDescription, hiddenSize: number): BlockValues {
  const built = buildBlockGraph({ block: relativeBlock(block), hiddenSize, length: positions, experts: 'all' });
  const inputShapes = { hidden: [1, positions, hiddenSize] };
  const graph = foldConstants(built.graph, evaluateNode, { inputShapes });
  const parameters = new Map(built.parameters.map((parameter) => [parameter.name, parameter]));
  const producers = new Map<string, GraphNode>();
  const readers = new Map<string, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const name of node.outputs) producers.set(name, node);
    for (const name of new Set(node.inputs)) {
      const list = readers.get(name);
      if (list === undefined) readers.set(name, [node]);
      else list.push(node);
    }
  }
  const linears = new Map<GraphNode, LinearNode>();
  for (const node of graph.nodes) {
    if (node.operator !== 'MatMul') continue;
    // y = x·Wᵀ: the second factor is a transposed matrix of a module.
    const transposed = producers.get(node.inputs[1]!);
    const module = transposed?.operator === 'Transpose' ? parameters.get(transposed.inputs[0]!)?.module : undefined;
    if (module !== undefined) linears.set(node, { module, input: node.inputs[0]!, output: node.outputs[0]! });
  }
  const distances = new Map<string, number>();
  const distance = (value: string): number => {
    const known = distances.get(value);
    if (known !== undefined) return known;
    const producer = producers.get(value);
    let found = parameters.has(value) ? 0 : Infinity;
    if (producer !== undefined) found = 1 + (linears.has(producer) ? 0 : Math.min(...producer.inputs.filter((name) => name !== '').map(distance)));
    distances.set(value, found);
    return found;
  };
  return {
    shapes: concreteShapes(inferTypes(graph, { inputShapes })),
    producers,
    readers,
    linears,
    parameters,
    constants: new Map([...graph.initializers].flatMap(([name, tensor]) => (isHostInitializer(tensor) ? [[name, tensor] as const] : []))),
    outputs: new Set(graph.outputs.map(({ name }) => name)),
    distance,
  };
}

/** Shapes whose sizes are all known. Values without (what a router chose) never carry a scale. */
function concreteShapes(types: ReturnType<typeof inferTypes>): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape }] of types) {
    if (shape?.every((size): size is number => typeof size === 'number') === true) shapes.set(name, shape);
  }
  return shapes;
}
