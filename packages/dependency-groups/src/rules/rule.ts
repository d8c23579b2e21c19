import { isHostInitializer, type AttributeValue, type Dimension, type Graph, type GraphNode } from '@pare/core';
import { operatorSchema } from '@pare/graph';
import { resolve, type Axis } from '../axis.js';
import { unify, unifyFactors } from '../unify.js';

/** A value of the graph with one axis variable for each of its axes. */
export interface TracedValue {
  readonly name: string;
  readonly shape: readonly Dimension[];
  readonly axes: readonly Axis[];
}

/** Says which axes of a node's inputs and outputs are the same, and which cannot change. */
export type Rule = (node: NodeContext) => void;

/** One node in the hands of its rule. */
export class NodeContext {
  readonly node: GraphNode;
  readonly inputs: readonly (TracedValue | undefined)[];
  /** Outputs in order, undefined where left out. Their axes are new until a rule unifies them. */
  readonly outputs: readonly (TracedValue | undefined)[];
  readonly #graph: Graph;

  constructor(graph: Graph, node: GraphNode, inputs: readonly (TracedValue | undefined)[], outputs: readonly (TracedValue | undefined)[]) {
    this.#graph = graph;
    this.node = node;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  /** An input that the operator requires. */
  input(index: number): TracedValue {
    return this.inputs[index]!;
  }

  get output(): TracedValue {
    return this.outputs[0]!;
  }

  attribute(name: string): AttributeValue | undefined {
    return this.node.attributes[name] ?? operatorSchema(this.node.operator, this.node.domain)?.attributes[name]?.default;
  }

  int(name: string): number {
    return this.attribute(name) as number;
  }

  /** Integers of an input that is a constant of the graph, or of the attribute that older operator sets have instead. */
  ints(index: number, attribute: string): readonly number[] | undefined {
    const input = this.inputs[index];
    if (input === undefined) return this.attribute(attribute) as readonly number[] | undefined;
    const tensor = this.#graph.initializers.get(input.name);
    return tensor === undefined || !isHostInitializer(tensor) ? undefined : Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  }

  axis(value: number, rank: number): number {
    return value < 0 ? value + rank : value;
  }

  link(left: Axis, right: Axis): void {
    if (!unify(left, right)) this.#contradiction([left, right]);
  }

  /** Axes that enumerate the same elements in row-major order. */
  linkFactors(left: readonly Axis[], right: readonly Axis[]): void {
    if (!unifyFactors(left, right)) this.#contradiction([...left, ...right]);
  }

  /** Every axis of `value` with that of `other` in the same place, counted from the last; a size of 1 is broadcast and couples nothing. */
  broadcast(value: TracedValue, other: TracedValue): void {
    const shift = other.axes.length - value.axes.length;
    for (const [index, axis] of value.axes.entries()) {
      const target = other.axes[index + shift];
      if (target !== undefined && axis.size !== 1 && target.size !== 1) this.link(axis, target);
    }
  }

  /** No index of the axis may go. */
  fix(axis: Axis, reason: string): void {
    const { name, operator } = this.node;
    resolve(axis).fixed.set(`${name}: ${reason}`, { kind: 'operator', name: name === '' ? operator : name, reason });
  }

  fixAll(value: TracedValue | undefined, reason: string): void {
    for (const axis of value?.axes ?? []) this.fix(axis, reason);
  }

  /** The node computes something over all of the axis. */
  summarise(axis: Axis): void {
    resolve(axis).statistics.add(this.node.name);
  }

  #contradiction(axes: readonly Axis[]): void {
    for (const axis of axes) this.fix(axis, `${this.node.operator} mixes indices that other operators keep apart`);
  }
}
