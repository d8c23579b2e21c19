import { int64Tensor, pareError, type AttributeValue, type DType, type Graph, type GraphNode, type HostTensor, type Initializer } from '@pare/core';
import { filledTensor } from './builder.js';
import { inferValues } from './infer-types.js';
import { canonicalDomain } from './operators/operator-key.js';
import { nodeError, type TypedValue } from './operators/schema.js';

/** The operator set whose forms kernels and gradients implement. */
export const currentOpset = 21;

/** Before set 7, arithmetic broadcast by attributes. */
const oldestOpset = 7;

/**
 * A graph of an older operator set (7 on) in the forms of operator set 21: parameters that were attributes become constant inputs, and Softmax over
 * flattened axes is spelled out. Graphs of set 21 or later come back as they are. Nodes know nothing of their operator set, so evaluators need this first.
 * @throws PARE_GRAPH_INVALID for forms that have no successor.
 */
export function upgradeOpset(graph: Graph): Graph {
  const from = graph.opsets[''];
  if (from === undefined || from >= currentOpset) return graph;
  if (from < oldestOpset) {
    const problem = `it has version ${String(from)}; ${String(oldestOpset)} and later are supported. Convert the model with its exporter`;
    throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: 'operator set ""', problem });
  }
  const rewriter = new Rewriter(graph, from);
  for (const node of graph.nodes) rewriter.add(node);
  return { ...graph, nodes: rewriter.nodes, initializers: rewriter.initializers, opsets: { ...graph.opsets, '': currentOpset } };
}

class Rewriter {
  readonly nodes: GraphNode[] = [];
  readonly initializers: Map<string, Initializer>;
  readonly #graph: Graph;
  readonly #from: number;
  readonly #values: ReadonlyMap<string, TypedValue>;
  readonly #names: Set<string>;

  constructor(graph: Graph, from: number) {
    this.#graph = graph;
    this.#from = from;
    this.#values = inferValues(graph);
    this.#names = new Set(this.#values.keys());
    this.initializers = new Map(graph.initializers);
  }

  add(node: GraphNode): void {
    if (canonicalDomain(node.domain) !== '') {
      this.nodes.push(node);
      return;
    }
    switch (node.operator) {
      case 'Softmax':
      case 'LogSoftmax':
        this.#softmax(node);
        return;
      case 'Split':
        this.nodes.push(this.#split(node));
        return;
      case 'Clip':
        this.nodes.push(this.#moved(node, ['min', 'max'], 1, (value) => filledTensor(this.#dtype(node), [], value as number)));
        return;
      case 'Pad':
        this.nodes.push(this.#pad(node));
        return;
      case 'Slice':
        this.nodes.push(this.#moved(node, ['starts', 'ends', 'axes'], 1));
        return;
      case 'TopK':
        this.nodes.push(this.#moved(node, ['k'], 1, (value) => int64Tensor([1], [value as number])));
        return;
      case 'Reshape':
        this.nodes.push(this.#moved(node, ['shape'], 1));
        return;
      default:
        // Squeeze, Unsqueeze and the reductions.
        this.nodes.push(node.attributes['axes'] === undefined ? node : this.#moved(node, ['axes'], 1));
    }
  }

  /** The node with attributes turned into constant inputs from position `first` on. */
  #moved(node: GraphNode, names: readonly string[], first: number, tensor: (value: AttributeValue) => HostTensor = listTensor): GraphNode {
    if (names.every((name) => node.attributes[name] === undefined)) return node;
    if (node.inputs.length > first) throw nodeError(this.#graph.name, node, `gives ${names.join(', ')} as attributes and as inputs`);
    const inputs = [...node.inputs, ...names.map((name) => (node.attributes[name] === undefined ? '' : this.#constant(`${node.outputs[0]!}_${name}`, tensor(node.attributes[name]))))];
    while (inputs.at(-1) === '') inputs.pop();
    return { ...node, inputs, attributes: without(node.attributes, names) };
  }

  #pad(node: GraphNode): GraphNode {
    const value = node.attributes['value'] as number | undefined;
    const padded = this.#moved({ ...node, attributes: without(node.attributes, ['value']) }, ['pads'], 1);
    if (value === undefined || value === 0) return padded;
    return { ...padded, inputs: [...padded.inputs, this.#constant(`${node.outputs[0]!}_value`, filledTensor(this.#dtype(node), [], value))] };
  }

  /** Since set 18 equal parts must be counted. */
  #split(node: GraphNode): GraphNode {
    const moved = this.#moved(node, ['split'], 1);
    if (moved.inputs.length > 1 || moved.attributes['num_outputs'] !== undefined) return moved;
    return { ...moved, attributes: { ...moved.attributes, num_outputs: node.outputs.length } };
  }

  /** Before set 13, Softmax normalised over all axes from `axis` (1 by default) on: softmax(flatten(x, axis)) in the old shape. */
  #softmax(node: GraphNode): void {
    if (this.#from >= 13) {
      this.nodes.push(node);
      return;
    }
    const axis = (node.attributes['axis'] as number | undefined) ?? 1;
    const input = node.inputs[0]!;
    const output = node.outputs[0]!;
    const rank = this.#values.get(input)?.shape?.length;
    if (axis === -1 || axis === (rank ?? 0) - 1) {
      this.nodes.push({ ...node, attributes: { ...node.attributes, axis: -1 } });
      return;
    }
    const [flat, normalised, shape] = ['flat', 'normalised', 'shape'].map((suffix) => this.#fresh(`${output}_${suffix}`)) as [string, string, string];
    const step = (operator: string, inputs: string[], result: string, attributes: GraphNode['attributes'] = {}): void => {
      this.nodes.push({ operator, domain: '', name: '', inputs, outputs: [result], attributes });
    };
    step('Shape', [input], shape);
    step('Flatten', [input], flat, { axis });
    this.nodes.push({ ...node, inputs: [flat], outputs: [normalised], attributes: { axis: -1 } });
    step('Reshape', [normalised, shape], output);
  }

  #dtype(node: GraphNode): DType {
    return this.#values.get(node.inputs[0]!)!.dtype;
  }

  #constant(stem: string, tensor: HostTensor): string {
    const name = this.#fresh(stem);
    this.initializers.set(name, tensor);
    return name;
  }

  #fresh(stem: string): string {
    let name = stem;
    for (let count = 2; this.#names.has(name); count++) name = `${stem}_${String(count)}`;
    this.#names.add(name);
    return name;
  }
}

function listTensor(value: AttributeValue): HostTensor {
  const list = value as readonly number[];
  return int64Tensor([list.length], list);
}

function without(attributes: GraphNode['attributes'], names: readonly string[]): GraphNode['attributes'] {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => !names.includes(name)));
}
