import { elementCount, hostTensor, type GraphNode } from '@pare/core';
import { evaluateNode } from '@pare/operators';
import type { BlockValues } from './block-values.js';
import { ChannelClasses } from './channel-classes.js';

/** Where the scales of one value end up. Channels are those of the value that the trace started from; −1 marks what no scale touches. */
export interface Trace {
  /** Columns of modules, by name relative to the block. */
  readonly columns: ReadonlyMap<string, Int32Array>;
  /** Rows of modules. */
  readonly rows: ReadonlyMap<string, Int32Array>;
  /** Elements of norm weights and biases by tensor name. `offset` is added to a weight before it is used. */
  readonly vectors: ReadonlyMap<string, { readonly channels: Int32Array; readonly offset: number }>;
  /** For each channel the first one whose scale it has to share; undefined when all are free. */
  readonly shared: Int32Array | undefined;
}

export type TraceResult = Trace | { readonly reason: string };

/** Thrown inside a trace where the scale cannot go on. */
class Blocked extends Error {}

/** Thrown where either factor of a product could take the scale. */
class Undecided extends Error {
  readonly node: GraphNode;
  constructor(node: GraphNode) {
    super();
    this.node = node;
  }
}

/**
 * Follows per-channel factors of a value [..., channels] through the graph, in both directions: every element of every value gets the channel whose factor it
 * would carry, and every node says what follows for its other values. It ends well when all factors have been taken up by parameters and modules. A product of two
 * values is scaled through one of them; each is tried, the one nearest to its parameters first.
 */
export function traceScale(values: BlockValues, start: string, decisions: ReadonlyMap<GraphNode, string> = new Map()): TraceResult {
  try {
    return new Propagation(values, start, decisions).run();
  } catch (error) {
    if (error instanceof Blocked) return { reason: error.message };
    if (!(error instanceof Undecided)) throw error;
    const { node } = error;
    const factors = node.inputs.filter((name) => !values.constants.has(name)).sort((a, b) => values.distance(a) - values.distance(b));
    let first: TraceResult | undefined;
    for (const factor of factors) {
      const result = traceScale(values, start, new Map([...decisions, [node, factor]]));
      if (!('reason' in result)) return result;
      first ??= result;
    }
    return first ?? { reason: `${node.operator} multiplies constants only` };
  }
}

/** Operators that move elements and change none. */
const movements = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Transpose', 'Slice', 'Split', 'Concat', 'Expand', 'Identity']);

class Propagation {
  readonly #values: BlockValues;
  readonly #start: string;
  readonly #decisions: Map<GraphNode, string>;
  readonly #classes: ChannelClasses;
  readonly #labels = new Map<string, Int32Array>();
  readonly #queue = new Set<string>();
  readonly #offsets = new Map<string, { channels: Int32Array; offset: number }>();
  readonly #columns = new Map<string, Int32Array>();
  readonly #rows = new Map<string, Int32Array>();

  constructor(values: BlockValues, start: string, decisions: ReadonlyMap<GraphNode, string>) {
    this.#values = values;
    this.#start = start;
    this.#decisions = new Map(decisions);
    this.#classes = new ChannelClasses(values.shapes.get(start)!.at(-1)!);
  }

  run(): Trace {
    const shape = this.#values.shapes.get(this.#start)!;
    const channels = shape.at(-1)!;
    this.#mark(this.#start, (index) => index % channels, elementCount(shape));
    for (const value of this.#queue) {
      this.#queue.delete(value);
      const producer = this.#values.producers.get(value);
      if (producer !== undefined) this.#visit(producer);
      for (const reader of this.#values.readers.get(value) ?? []) this.#visit(reader);
    }
    const vectors = new Map(this.#offsets);
    for (const [name, labels] of this.#labels) if (this.#values.parameters.has(name)) vectors.set(name, { channels: labels, offset: 0 });
    return { columns: this.#columns, rows: this.#rows, vectors, shared: this.#classes.representatives() };
  }

  /** What a node makes of the factors on its inputs and outputs. */
  #visit(node: GraphNode): void {
    const linear = this.#values.linears.get(node);
    if (linear !== undefined) {
      this.#absorb(linear.input, linear.module, this.#columns);
      this.#absorb(linear.output, linear.module, this.#rows);
      return;
    }
    if (movements.has(node.operator)) {
      this.#move(node);
      return;
    }
    switch (node.operator) {
      // Relu(s·x) = s·Relu(x) for s > 0.
      case 'Relu':
      case 'Cast':
        this.#broadcast(node, 0);
        return;
      case 'Add':
      case 'Sub':
        this.#add(node);
        return;
      case 'Mul':
        this.#multiply(node);
        return;
      case 'Div':
        this.#refuseLabels(node, node.inputs[1]!);
        this.#broadcast(node, 0);
        return;
      case 'LayerNormalization':
        // (x − mean)/√(variance + ε)·w + b is scaled by scaling w and b.
        this.#refuseLabels(node, node.inputs[0]!);
        for (let position = 1; position < node.inputs.length; position++) if (node.inputs[position] !== '') this.#broadcast(node, position);
        return;
      case 'MatMul':
        this.#mix(node);
        return;
      case 'Shape':
        return;
      default:
        throw new Blocked(`${node.operator} of a scaled value is not the scaled ${node.operator}`);
    }
  }

  /** A module takes a factor up in its columns or rows, the same one at every position. */
  #absorb(value: string, module: string, into: Map<string, Int32Array>): void {
    const labels = this.#labels.get(value);
    if (labels === undefined) return;
    const width = this.#values.shapes.get(value)!.at(-1)!;
    const found = new Int32Array(width).fill(-1);
    for (const [index, label] of labels.entries()) if (label >= 0 && found[index % width]! < 0) found[index % width] = label;
    this.#mark(value, (index) => found[index % width]!, labels.length);
    into.set(module, found);
  }

  /** Elements of outputs are elements of inputs: indices that went through the operator tell which. */
  #move(node: GraphNode): void {
    const data = node.operator === 'Concat' ? node.inputs : node.inputs.slice(0, 1);
    const shapes = data.map((name) => this.#shapeOf(node, name));
    const starts: number[] = [];
    let total = 0;
    const indices = shapes.map((shape) => {
      starts.push(total);
      const count = elementCount(shape);
      const first = total;
      total += count;
      return hostTensor('int32', shape, Int32Array.from({ length: count }, (_, index) => first + index));
    });
    const others = node.inputs.slice(data.length).map((name) => (name === '' ? undefined : this.#values.constants.get(name)));
    const outputs = evaluateNode(node, [...indices, ...others]);
    for (const [position, output] of outputs.entries()) {
      const from = output.data as Int32Array;
      for (const [input, name] of data.entries()) {
        const [first, end] = [starts[input]!, starts[input + 1] ?? total];
        this.#tie(node.outputs[position]!, name, from.length, (index) => (from[index]! >= first && from[index]! < end ? from[index]! - first : -1));
      }
    }
  }

  /** Output and one input carry the same factors; the input may be broadcast. */
  #broadcast(node: GraphNode, position: number): void {
    const output = node.outputs[0]!;
    const input = node.inputs[position]!;
    const [outShape, inShape] = [this.#shapeOf(node, output), this.#shapeOf(node, input)];
    const index = broadcastIndex(outShape, inShape);
    this.#tie(output, input, elementCount(outShape), index);
  }

  /** s·(a + b) = s·a + s·b. A constant summand is none: it only shifts a parameter, as Gemma's norms have it. */
  #add(node: GraphNode): void {
    const constant = node.inputs.findIndex((name) => this.#values.constants.has(name));
    if (constant < 0) {
      this.#broadcast(node, 0);
      this.#broadcast(node, 1);
      return;
    }
    const parameter = node.inputs[1 - constant]!;
    const { data } = this.#values.constants.get(node.inputs[constant]!)!;
    if (node.operator !== 'Add' || data.length !== 1 || !this.#values.parameters.has(parameter) || this.#values.readers.get(parameter)!.length > 1) {
      throw new Blocked('a constant is added to it');
    }
    const channels = this.#labels.get(node.outputs[0]!);
    if (channels !== undefined) this.#offsets.set(parameter, { channels, offset: Number(data[0]) });
  }

  /** s·(a·b) = (s·a)·b: one factor carries the scale, the other none. */
  #multiply(node: GraphNode): void {
    const labelled = node.inputs.filter((name) => this.#labels.has(name));
    if (labelled.length === 1 && !this.#decisions.has(node)) this.#decisions.set(node, labelled[0]!);
    const carrier = this.#decisions.get(node);
    if (carrier === undefined && labelled.length === 0) throw new Undecided(node);
    if (labelled.some((name) => name !== carrier) || node.inputs[0] === node.inputs[1]) throw new Blocked('both factors of a product would carry the scale');
    this.#broadcast(node, node.inputs.indexOf(carrier!));
  }

  /** Σ_k a[q, k]·b[k, n]: a factor of column n of the product is one of every b[k, n]. Attention mixes values so. */
  #mix(node: GraphNode): void {
    const [a, b] = node.inputs as [string, string];
    this.#refuseLabels(node, a);
    const [outShape, inShape] = [this.#shapeOf(node, node.outputs[0]!), this.#shapeOf(node, b)];
    const columns = outShape.at(-1)!;
    const [queries, keys] = [outShape.at(-2)!, inShape.at(-2)!];
    const matrix = broadcastIndex(outShape.slice(0, -2), inShape.slice(0, -2));
    const matrices = elementCount(outShape) / (queries * columns);
    for (let key = 0; key < keys; key++) {
      this.#tie(node.outputs[0]!, b, matrices * queries * columns, (index) => (matrix(Math.floor(index / (queries * columns))) * keys + key) * columns + (index % columns));
    }
  }

  #refuseLabels(node: GraphNode, value: string): void {
    if (this.#labels.has(value)) throw new Blocked(`${node.operator} of a scaled value is not the scaled ${node.operator}`);
  }

  /** Element `index` of one value and `map(index)` of another carry the same factor; −1 stands for none. */
  #tie(output: string, input: string, count: number, map: (index: number) => number): void {
    const down = this.#labels.get(input);
    if (down !== undefined) this.#mark(output, (index) => (map(index) < 0 ? -1 : down[map(index)]!), count);
    const up = this.#labels.get(output);
    if (up === undefined) return;
    const found = new Int32Array(elementCount(this.#values.shapes.get(input)!)).fill(-1);
    for (let index = 0; index < count; index++) {
      const at = map(index);
      const label = up[index]!;
      if (at < 0 || label < 0) continue;
      if (found[at]! >= 0) this.#classes.unite(found[at]!, label);
      else found[at] = label;
    }
    this.#mark(input, (index) => found[index]!, found.length);
  }

  /** Gives elements of a value their channels. */
  #mark(value: string, labelOf: (index: number) => number, count: number): void {
    let labels = this.#labels.get(value);
    let changed = false;
    for (let index = 0; index < count; index++) {
      const label = labelOf(index);
      if (label < 0) continue;
      if (labels === undefined) {
        this.#refuseEnd(value);
        labels = new Int32Array(count).fill(-1);
        this.#labels.set(value, labels);
      }
      const old = labels[index]!;
      if (old === label) continue;
      if (old >= 0) this.#classes.unite(old, label);
      else {
        labels[index] = label;
        changed = true;
      }
    }
    if (changed) this.#queue.add(value);
  }

  /** Values that nothing can take a factor out of. */
  #refuseEnd(value: string): void {
    if (this.#values.outputs.has(value)) throw new Blocked("it is a part of the block's output");
    if (this.#values.constants.has(value)) throw new Blocked('it comes from a constant');
    if (!this.#values.producers.has(value) && !this.#values.parameters.has(value)) throw new Blocked("it comes from the block's input");
  }

  #shapeOf(node: GraphNode, value: string): readonly number[] {
    const shape = this.#values.shapes.get(value);
    if (shape === undefined) throw new Blocked(`${node.operator} has sizes that only a run tells`);
    return shape;
  }
}

/** From an element of a value to the one of an operand that is broadcast to it. */
function broadcastIndex(outShape: readonly number[], inShape: readonly number[]): (index: number) => number {
  if (elementCount(outShape) === elementCount(inShape)) return (index) => index;
  const missing = outShape.length - inShape.length;
  return (index) => {
    let rest = index;
    let at = 0;
    let step = 1;
    for (let axis = outShape.length - 1; axis >= missing; axis--) {
      const size = inShape[axis - missing]!;
      if (size > 1) at += (rest % outShape[axis]!) * step;
      rest = Math.floor(rest / outShape[axis]!);
      step *= size;
    }
    return at;
  };
}
