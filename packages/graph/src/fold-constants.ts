import {
  dtypeBytes,
  elementCount,
  hostTensor,
  isHostInitializer,
  isPareError,
  tensorBytes,
  type DType,
  type Graph,
  type GraphNode,
  type HostTensor,
  type Initializer,
  type TypedArray,
} from '@pare/core';
import { filledTensor } from './builder.js';
import { inferValues, type InferenceOptions } from './infer-types.js';
import { nodeError, type TypedValue } from './operators/schema.js';
import { removeUnused } from './remove-unused.js';

/** Computes one node on host tensors: `evaluateNode` of `@pare/operators`, or a backend's own. */
export type NodeEvaluator = (node: GraphNode, inputs: readonly (HostTensor | undefined)[]) => HostTensor[];

export interface FoldOptions extends InferenceOptions {
  /** Results larger than this stay computed by the graph. 1 MiB by default. */
  readonly maximumBytes?: number | undefined;
}

/**
 * Operators whose result is never stored in place of their inputs: codes and scales are the form in which quantized weights are meant to stay.
 */
const keptOperators = new Set(['DequantizeLinear', 'MatMulNBits', 'GatherBlockQuantized']);

/**
 * Replaces what does not depend on the inputs by constants: nodes whose inputs are constants, and shape arithmetic whose sizes are all known, as far as
 * results fit in `maximumBytes`. Nodes the evaluator does not know (PARE_OPERATOR_UNSUPPORTED) stay. Outputs, inputs and their names are kept.
 */
export function foldConstants(graph: Graph, evaluate: NodeEvaluator, options: FoldOptions = {}): Graph {
  const limit = options.maximumBytes ?? 2 ** 20;
  const values = inferValues(graph, options);
  const initializers = new Map<string, Initializer>(graph.initializers);
  const outputs = new Set(graph.outputs.map((output) => output.name));
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    const folded = foldNode(graph, node, values, initializers, evaluate, limit);
    if (folded === undefined) {
      nodes.push(node);
      continue;
    }
    for (const [index, name] of node.outputs.entries()) {
      if (name === '') continue;
      if (!outputs.has(name)) {
        initializers.set(name, folded[index]!);
        continue;
      }
      // Runtimes differ on outputs that are constants; a copying node keeps the output computed.
      const constant = freeName(`${name}_constant`, values, initializers);
      initializers.set(constant, folded[index]!);
      nodes.push({ operator: 'Identity', domain: '', name: node.outputs.length === 1 ? node.name : '', inputs: [constant], outputs: [name], attributes: {} });
    }
  }
  return removeUnused({ ...graph, initializers, nodes });
}

/** Results of a node that can be computed now, by output position; undefined when it must stay. */
function foldNode(
  graph: Graph,
  node: GraphNode,
  values: ReadonlyMap<string, TypedValue>,
  initializers: ReadonlyMap<string, Initializer>,
  evaluate: NodeEvaluator,
  limit: number,
): (HostTensor | undefined)[] | undefined {
  const known = node.outputs.map((name) => (name === '' ? undefined : knownTensor(values.get(name)!)));
  if (node.outputs.every((name, index) => name === '' || known[index] !== undefined)) return known;
  if (keptOperators.has(node.operator)) return undefined;
  const inputs: (HostTensor | undefined)[] = [];
  for (const name of node.inputs) {
    const initializer = name === '' ? undefined : initializers.get(name);
    if (name !== '' && (initializer === undefined || !isHostInitializer(initializer))) return undefined;
    inputs.push(initializer as HostTensor | undefined);
  }
  for (const name of node.outputs) if (name !== '' && outputBytes(values.get(name)!) > limit) return undefined;
  const constant = constantValue(node);
  if (constant !== undefined) return [constant];
  let results: HostTensor[];
  try {
    results = evaluate(node, inputs);
  } catch (error) {
    if (isPareError(error) && error.code === 'PARE_OPERATOR_UNSUPPORTED') return undefined;
    throw error;
  }
  const tooLarge = node.outputs.some((name, index) => name !== '' && tensorBytes(results[index] ?? missingResult(graph, node, index)) > limit);
  return tooLarge ? undefined : results;
}

/** Bytes of a result whose shape is known; an unknown shape is judged after the computation. */
function outputBytes(value: TypedValue): number {
  if (value.shape === undefined || !value.shape.every((dimension) => typeof dimension === 'number')) return 0;
  return dtypeBytes(value.dtype, elementCount(value.shape as readonly number[]));
}

/** Ranges in which inference's arithmetic on ordinary numbers is that of the type. */
const exactRanges: Partial<Record<DType, readonly [number, number]>> = {
  int64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  bool: [0, 1],
};

/** The tensor of an integer value whose elements inference knows. */
function knownTensor(value: TypedValue): HostTensor | undefined {
  const range = exactRanges[value.dtype];
  if (range === undefined || value.value === undefined || !value.shape?.every((dimension) => typeof dimension === 'number')) return undefined;
  const shape = value.shape as readonly number[];
  if (value.value.length !== elementCount(shape)) return undefined;
  const tensor = hostTensor(value.dtype, shape);
  for (const [index, element] of value.value.entries()) {
    if (typeof element !== 'number' || !Number.isInteger(element) || element < range[0] || element > range[1]) return undefined;
    (tensor.data as Record<number, number | bigint>)[index] = tensor.data instanceof BigInt64Array || tensor.data instanceof BigUint64Array ? BigInt(element) : element;
  }
  return tensor;
}

/** The tensor of a Constant node. */
function constantValue(node: GraphNode): HostTensor | undefined {
  if (node.operator !== 'Constant' || node.domain !== '') return undefined;
  const [name, value] = Object.entries(node.attributes)[0]!;
  if (name === 'value') return value as HostTensor;
  const list = typeof value === 'number' ? [value] : (value as readonly number[]);
  const dtype = name.startsWith('value_int') ? 'int64' : 'float32';
  if (list.length === 0) return filledTensor(dtype, [0], 0);
  const data: TypedArray = dtype === 'int64' ? BigInt64Array.from(list.map(BigInt)) : Float32Array.from(list);
  return hostTensor(dtype, typeof value === 'number' ? [] : [list.length], data);
}

function freeName(stem: string, values: ReadonlyMap<string, TypedValue>, initializers: ReadonlyMap<string, Initializer>): string {
  let name = stem;
  for (let count = 2; values.has(name) || initializers.has(name); count++) name = `${stem}_${String(count)}`;
  return name;
}

function missingResult(graph: Graph, node: GraphNode, index: number): never {
  throw nodeError(graph.name, node, `the evaluator gave no output ${String(index)}`);
}
