import type { Graph, GraphNode } from '@pare/core';
import { inferTypes } from '@pare/graph';
import { Axis, resolve } from './axis.js';
import { DependencyGraph } from './dependency-graph.js';
import { NodeContext, type TracedValue } from './rules/rule.js';
import { ruleOf } from './rules/table.js';

export interface TraceOptions {
  /** Graph inputs that hold weights, beside the initializers: their slices may go. Every other input is the model's. */
  readonly parameters?: Iterable<string> | undefined;
}

/**
 * Finds which slices of which tensors have to go together. Every axis of every value is a variable; the rule of each operator unifies those that it couples
 * and reveals how they are made of each other. What remains undivided at the end are the coupled axes: heads, head channels, neurons, hidden channels, experts, feature maps.
 * No weights are read. (Torch-Pruning, Fang et al., arXiv 2301.12900, traces single indices through modules; LLM-Pruner, Ma et al., arXiv 2305.11627, §3.1, defines
 * the groups.)
 *
 * Graphs may have symbolic sizes. Values of unknown rank are fixed, with all that they touch.
 * @throws PARE_GRAPH_INVALID
 */
export function traceGroups(graph: Graph, options: TraceOptions = {}): DependencyGraph {
  const types = inferTypes(graph);
  const values = new Map<string, TracedValue>();
  const unranked = new Set<string>();
  for (const [name, { shape }] of types) {
    if (shape === undefined) unranked.add(name);
    const sizes = shape ?? [];
    values.set(name, { name, shape: sizes, axes: sizes.map((size) => new Axis(size)) });
  }

  const parameters = new Set(options.parameters);
  for (const { name } of graph.inputs) if (!parameters.has(name)) fixAll(values.get(name), 'input', name, 'it is an axis of the model’s input');
  for (const node of graph.nodes) applyRule(graph, node, values, unranked);
  for (const { name } of graph.outputs) fixAll(values.get(name), 'output', name, 'it is an axis of the model’s output');

  spreadToParts(values.values());
  // Integers and truth values are sizes, places and masks: what follows from the rest.
  const weights = [...graph.initializers].flatMap(([name, { dtype }]) => (dtype === 'int64' || dtype === 'bool' ? [] : [name]));
  const tensors = [...weights, ...graph.inputs.flatMap(({ name }) => (parameters.has(name) ? [name] : []))];
  return new DependencyGraph(graph, values, tensors);
}

function applyRule(graph: Graph, node: GraphNode, values: ReadonlyMap<string, TracedValue>, unranked: ReadonlySet<string>): void {
  const valueOf = (name: string): TracedValue | undefined => (name === '' ? undefined : values.get(name));
  const context = new NodeContext(graph, node, node.inputs.map(valueOf), node.outputs.map(valueOf));
  if ([...node.inputs, ...node.outputs].some((name) => unranked.has(name))) {
    for (const value of [...context.inputs, ...context.outputs]) context.fixAll(value, 'it meets a value of unknown rank');
  } else ruleOf(node.operator, node.domain)(context);
}

function fixAll(value: TracedValue | undefined, kind: 'input' | 'output', name: string, reason: string): void {
  for (const axis of value?.axes ?? []) resolve(axis).fixed.set(`${kind} ${name}`, { kind, name, reason });
}

/** What holds for an axis as a whole holds for each of its parts. */
function spreadToParts(values: Iterable<TracedValue>): void {
  const spread = (root: Axis): void => {
    for (const part of root.structure?.parts ?? []) {
      const target = resolve(part);
      for (const [key, reason] of root.fixed) target.fixed.set(key, reason);
      for (const name of root.statistics) target.statistics.add(name);
      spread(target);
    }
  };
  const visited = new Set<Axis>();
  for (const { axes } of values) {
    for (const axis of axes) {
      const root = resolve(axis);
      if (!visited.has(root)) spread(root);
      visited.add(root);
    }
  }
}
