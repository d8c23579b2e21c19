import { isHostInitializer, pareError, tensorBytes, type Graph, type Initializer } from '@pare/core';
import { type GraphBuilder, type Value } from './builder.js';
import { shapeText } from './operators/rules.js';
import { unifyDimensions } from './types/dimension.js';

/** Initializers that a builder got from inlined graphs, so that a graph inlined twice shares them. */
const shared = new WeakMap<GraphBuilder, Map<Initializer, Value>>();

/** Constants up to this size are compared by value instead, as `GraphBuilder.constant` does. */
const smallConstantBytes = 4096;

/**
 * Adds a graph's nodes to a builder with `inputs` in place of its inputs, and returns its outputs by name. Node and value names get `prefix`; names
 * already taken are numbered.
 * @throws PARE_TENSOR_MISMATCH when an input is missing, unknown, or of another type or shape; PARE_GRAPH_INVALID when operator set versions differ.
 */
export function inlineGraph(builder: GraphBuilder, graph: Graph, inputs: Readonly<Record<string, Value>>, options: { readonly prefix?: string } = {}): Record<string, Value> {
  const prefix = options.prefix ?? '';
  checkOpsets(builder, graph);
  const values = new Map<string, Value>(graph.inputs.map((input) => [input.name, checkedInput(graph, input.name, inputs)]));
  for (const name of Object.keys(inputs)) {
    if (!values.has(name)) throw mismatch(graph, name, 'a value for it', `one of the inputs ${graph.inputs.map((input) => `"${input.name}"`).join(', ') || 'of a graph without inputs'}`);
  }
  for (const [name, initializer] of graph.initializers) values.set(name, inlineInitializer(builder, initializer, `${prefix}${name}`));
  for (const node of graph.nodes) {
    let count = node.outputs.length;
    while (count > 1 && node.outputs[count - 1] === '') count--;
    const given = node.inputs.map((name) => (name === '' ? undefined : (values.get(name) ?? undefinedInput(graph, name))));
    const results = builder.node(node.operator, given, node.attributes, {
      domain: node.domain,
      outputs: count,
      ...(node.name === '' ? {} : { name: builder.unusedName(`${prefix}${node.name}`) }),
    });
    for (const [index, name] of node.outputs.entries()) if (name !== '') values.set(name, results[index]!);
  }
  return Object.fromEntries(graph.outputs.map((output) => [output.name, values.get(output.name) ?? undefinedInput(graph, output.name)]));
}

function inlineInitializer(builder: GraphBuilder, initializer: Initializer, name: string): Value {
  if (isHostInitializer(initializer) && tensorBytes(initializer) <= smallConstantBytes) return builder.constant(initializer);
  const known = shared.get(builder) ?? new Map<Initializer, Value>();
  shared.set(builder, known);
  let value = known.get(initializer);
  if (value === undefined) {
    value = builder.initializer(builder.unusedName(name), initializer);
    known.set(initializer, value);
  }
  return value;
}

function checkedInput(graph: Graph, name: string, inputs: Readonly<Record<string, Value>>): Value {
  const declared = graph.inputs.find((input) => input.name === name)!;
  const expected = `${declared.dtype} ${shapeText(declared.shape)}`;
  const value = Object.hasOwn(inputs, name) ? inputs[name] : undefined;
  if (value === undefined) throw mismatch(graph, name, 'nothing', expected);
  const shapes = declared.shape === undefined || value.shape === undefined ? undefined : { declared: declared.shape, given: value.shape };
  const fits = shapes === undefined || (shapes.declared.length === shapes.given.length && shapes.declared.every((dimension, axis) => unifyDimensions(dimension, shapes.given[axis]!) !== undefined));
  if (value.dtype !== declared.dtype || !fits) throw mismatch(graph, name, `${value.dtype} ${shapeText(value.shape)}`, expected);
  return value;
}

/** Operators mean what their operator set's version says, so versions must agree. */
function checkOpsets(builder: GraphBuilder, graph: Graph): void {
  for (const [domain, version] of Object.entries(graph.opsets)) {
    const target = builder.opsets[domain];
    if (target === undefined) builder.useOpset(domain, version);
    else if (target !== version) {
      throw pareError('PARE_GRAPH_INVALID', {
        graph: graph.name,
        node: `operator set "${domain}"`,
        problem: `it has version ${String(version)}, graph "${builder.name}" has ${String(target)}`,
      });
    }
  }
}

function mismatch(graph: Graph, input: string, found: string, expected: string): Error {
  return pareError('PARE_TENSOR_MISMATCH', { graph: graph.name, input, found, expected });
}

function undefinedInput(graph: Graph, name: string): never {
  throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: `value "${name}"`, problem: 'it is produced by nothing before its use' });
}
