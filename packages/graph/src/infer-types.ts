import { isHostInitializer, pareError, type Dimension, type Graph, type Initializer, type ValueInfo, type ValueType } from '@pare/core';
import { inferNode } from './infer-node.js';
import { canonicalDomain } from './operators/operator-key.js';
import { shapeText } from './operators/rules.js';
import { nodeError, type TypedValue } from './operators/schema.js';
import { unifyDimensions } from './types/dimension.js';
import { elementsOf } from './types/known-elements.js';

export interface InferenceOptions {
  /** Shapes to assume for graph inputs instead of the declared ones, such as those of one run. */
  readonly inputShapes?: Readonly<Record<string, readonly Dimension[]>>;
}

/**
 * Element type and shape of every value of a graph, by name. Sizes that follow from symbolic ones are expressions
 * (`past_sequence_length + sequence_length`); sizes that only a run can tell are new symbols.
 * @throws PARE_GRAPH_INVALID where a node breaks a rule of its operator, or a declared output differs from what is inferred.
 */
export function inferTypes(graph: Graph, options: InferenceOptions = {}): Map<string, ValueType> {
  const types = new Map<string, ValueType>();
  for (const [name, value] of inferValues(graph, options)) types.set(name, { dtype: value.dtype, shape: value.shape });
  for (const output of graph.outputs) {
    const inferred = types.get(output.name);
    if (inferred === undefined) throw outputError(graph, output, 'is produced by no node');
    types.set(output.name, reconcile(graph, output, inferred));
  }
  return types;
}

/** As `inferTypes`, with the elements of small tensors that are known, and without comparing the declared outputs. */
export function inferValues(graph: Graph, options: InferenceOptions = {}): Map<string, TypedValue> {
  const values = new Map<string, TypedValue>();
  const symbol = symbolMaker(graph.inputs);
  for (const input of graph.inputs) values.set(input.name, { dtype: input.dtype, shape: assumedShape(graph, input, options) });
  for (const [name, initializer] of graph.initializers) values.set(name, typeOfInitializer(initializer));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((name) => {
      if (name === '') return undefined;
      const value = values.get(name);
      if (value === undefined) throw nodeError(graph.name, node, `input "${name}" is not an input, an initializer or an earlier node's output`);
      return value;
    });
    const outputs = inferNode(node, inputs, { graph: graph.name, opset: graph.opsets[canonicalDomain(node.domain)] ?? 1, symbol });
    for (const [index, name] of node.outputs.entries()) {
      if (name === '') continue;
      if (values.has(name)) throw nodeError(graph.name, node, `output "${name}" names a value that exists already`);
      values.set(name, outputs[index]!);
    }
  }
  return values;
}

/** Type of a constant, with its elements when they are few and in memory. */
export function typeOfInitializer(initializer: Initializer): TypedValue {
  const value = isHostInitializer(initializer) ? elementsOf(initializer) : undefined;
  return { dtype: initializer.dtype, shape: initializer.shape, value };
}

/** Hands out symbols that no graph input uses, each once. */
export function symbolMaker(inputs: readonly ValueInfo[]): (suggestion: string) => string {
  const used = new Set(inputs.flatMap((input) => (input.shape ?? []).filter((dimension) => typeof dimension === 'string')));
  return (suggestion) => {
    let name = suggestion;
    for (let count = 2; used.has(name); count++) name = `${suggestion}_${String(count)}`;
    used.add(name);
    return name;
  };
}

function assumedShape(graph: Graph, input: ValueInfo, options: InferenceOptions): readonly Dimension[] | undefined {
  const assumed = options.inputShapes?.[input.name];
  if (assumed === undefined) return input.shape;
  const declared = input.shape;
  const fits = declared === undefined || (declared.length === assumed.length && declared.every((dimension, axis) => unifyDimensions(dimension, assumed[axis]!) !== undefined));
  if (!fits) throw pareError('PARE_TENSOR_MISMATCH', { graph: graph.name, input: input.name, found: shapeText(assumed), expected: shapeText(declared) });
  return assumed;
}

/** The more specific of an output's declared and inferred types. */
function reconcile(graph: Graph, output: ValueInfo, inferred: ValueType): ValueType {
  if (output.dtype !== inferred.dtype) throw outputError(graph, output, `is declared ${output.dtype}, the graph makes ${inferred.dtype}`);
  const declared = output.shape;
  if (declared === undefined || inferred.shape === undefined) return { dtype: inferred.dtype, shape: inferred.shape ?? declared };
  const shape = declared.length === inferred.shape.length ? inferred.shape.map((dimension, axis) => specific(dimension, declared[axis]!)) : [undefined];
  if (!shape.every((dimension) => dimension !== undefined)) throw outputError(graph, output, `is declared ${shapeText(declared)}, the graph makes ${shapeText(inferred.shape)}`);
  return { dtype: inferred.dtype, shape };
}

function specific(inferred: Dimension, declared: Dimension): Dimension | undefined {
  const unified = unifyDimensions(inferred, declared);
  return typeof unified === 'string' && unified.startsWith('unknown_') ? declared : unified;
}

function outputError(graph: Graph, output: ValueInfo, problem: string): Error {
  return pareError('PARE_GRAPH_INVALID', { graph: graph.name, node: `output "${output.name}"`, problem: `it ${problem}` });
}
