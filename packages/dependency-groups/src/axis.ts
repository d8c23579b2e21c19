import type { Dimension } from '@pare/core';

/** How an axis is made of others: one after the other, or row-major over all of them (the last varies fastest). */
export interface AxisStructure {
  readonly kind: 'concatenation' | 'product';
  readonly parts: readonly Axis[];
}

/** Why no index of an axis may be removed. */
export interface FixedReason {
  readonly kind: 'input' | 'output' | 'operator';
  /** Name of the graph's input or output, or of the node. */
  readonly name: string;
  readonly reason: string;
}

/**
 * An axis of some tensors of a graph, as a variable: axes that operators couple are unified, and operators that reshape, join or cut tensors reveal how an axis is
 * made of others. Its structure is filled in while rules are applied; read it through `resolve`.
 */
export class Axis {
  readonly size: Dimension;
  /** Undefined for an axis whose indices are all coupled in the same way. */
  structure: AxisStructure | undefined;
  /** The axis that this one was found to be the same as. */
  same: Axis | undefined;
  readonly fixed = new Map<string, FixedReason>();
  /** Nodes that compute something over the whole axis that a removed index takes part in even when it is zero: means, norms, softmax. */
  readonly statistics = new Set<string>();

  constructor(size: Dimension, structure?: AxisStructure) {
    this.size = size;
    this.structure = structure;
  }
}

/** The axis that stands for all that were unified with this one. */
export function resolve(axis: Axis): Axis {
  let root = axis;
  while (root.same !== undefined) root = root.same;
  while (axis.same !== undefined) {
    const next: Axis = axis.same;
    axis.same = root;
    axis = next;
  }
  return root;
}

/** Parts of an axis as the structure of this kind, nested ones flattened; the axis itself when it has another structure or none. */
export function partsOf(axis: Axis, kind: AxisStructure['kind']): Axis[] {
  const root = resolve(axis);
  return root.structure?.kind === kind ? root.structure.parts.flatMap((part) => partsOf(part, kind)) : [root];
}
