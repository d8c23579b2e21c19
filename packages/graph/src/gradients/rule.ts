import { type AttributeValue, type GraphNode } from '@pare/core';
import { type GraphBuilder, type Value } from '../builder.js';

/** A gradient of a slice of a value along one axis; everything else of the value gets none. Slices are put together where they meet. */
export interface GradientPiece {
  readonly axis: number;
  /** First position along the axis. */
  readonly start: number;
  readonly value: Value;
}

/** What a rule adds to the gradient of one input: a value that broadcasts to the input or sums to it over broadcast axes, a slice, or nothing. */
export type Contribution = Value | GradientPiece | undefined;

/** True for a slice. */
export function isPiece(contribution: Value | GradientPiece): contribution is GradientPiece {
  return 'start' in contribution;
}

/** What a rule sees of one node. Values belong to the builder that the gradient is built in; failures throw PARE_GRAPH_INVALID with graph and node. */
export interface GradientContext {
  readonly builder: GraphBuilder;
  readonly node: GraphNode;
  /** Version of the node's operator set. */
  readonly opset: number;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** Gradients of the outputs; undefined where nothing depends on one. */
  readonly gradients: readonly (Value | undefined)[];
  /** The gradient of the first output, for operators that have a gradient through no other. */
  readonly gradient: Value;
  /** A required input. */
  input(index: number): Value;
  /** A value's sizes; fails when its rank is unknown. */
  shape(value: Value): readonly (number | string)[];
  /** Elements of an input when inference knows every one, else undefined. */
  numbers(index: number): readonly number[] | undefined;
  int(name: string): number;
  float(name: string): number;
  string(name: string): string;
  ints(name: string): readonly number[] | undefined;
  attribute(name: string): AttributeValue | undefined;
  /** `axis` counted from the front. */
  axis(value: number, rank: number): number;
  fail(problem: string): never;
}

/**
 * The vector–Jacobian product of an operator: for every input position what adds up to the gradient of that input, given the gradients of the outputs. Only functions
 * of inputs that need a gradient are called. An operator whose derivative is zero wherever it exists returns an empty list.
 */
export type GradientRule = (context: GradientContext) => readonly ((() => Contribution) | undefined)[];
