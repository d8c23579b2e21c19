import { type AttributeValue, type DType, type GraphNode, type HostTensor } from '@pare/core';
import {
  attributeProblem,
  nodeError,
  type InferenceContext,
  type KnownElements,
  type OperatorSchema,
  type ParameterSpec,
  type TypedValue,
} from './operators/schema.js';
import { nearestOperator, operatorSchema } from './operators/table.js';

export interface NodeInferenceOptions {
  readonly graph: string;
  /** Version of the node's operator set. */
  readonly opset: number;
  /** Makes a symbol from a suggestion; the same one is never handed out twice. */
  readonly symbol: (suggestion: string) => string;
}

/**
 * Types, shapes and known elements of a node's outputs; undefined for outputs it leaves out.
 * @throws PARE_GRAPH_INVALID when the operator is unknown, or its arity, attributes, element types or shapes do not fit.
 */
export function inferNode(node: GraphNode, inputs: readonly (TypedValue | undefined)[], options: NodeInferenceOptions): (TypedValue | undefined)[] {
  const schema = checkNode(node, options.graph);
  const types = bindTypes(schema, node, inputs, options.graph);
  const context = createContext(schema, node, inputs, options);
  const results = schema.infer(context);
  return node.outputs.map((name, index) => {
    if (name === '') return undefined;
    const result = results[Math.min(index, results.length - 1)];
    const dtype = result?.dtype ?? types.get(parameterAt(schema.outputs, index)?.type ?? '');
    if (result === undefined || dtype === undefined) return context.fail(`nothing is known of output ${String(index)}`);
    const wrong = result.shape?.find((dimension) => typeof dimension === 'number' && (dimension < 0 || !Number.isSafeInteger(dimension)));
    if (wrong !== undefined) context.fail(`output ${String(index)} would have size ${String(wrong)}`);
    return { dtype, shape: result.shape, value: usableElements(result.value) };
  });
}

/**
 * The schema of a node after checking operator, arity, attribute names and attribute types.
 * @throws PARE_GRAPH_INVALID
 */
export function checkNode(node: GraphNode, graph: string): OperatorSchema {
  const fail = (problem: string): never => {
    throw nodeError(graph, node, problem);
  };
  const schema = operatorSchema(node.operator, node.domain);
  if (schema === undefined) {
    const near = nearestOperator(node.operator, node.domain);
    return fail(`operator is not in the supported subset${near === undefined ? '' : `; did you mean ${near}?`}`);
  }
  const inputs = trimmedLength(node.inputs);
  if (inputs < schema.minimumInputs || inputs > schema.maximumInputs) fail(`has ${String(inputs)} inputs, takes ${range(schema.minimumInputs, schema.maximumInputs)}`);
  for (const [index, name] of node.inputs.entries()) {
    if (name === '' && parameterAt(schema.inputs, index)?.optional !== true) fail(`input ${String(index)} (${parameterAt(schema.inputs, index)?.name ?? ''}) is required`);
  }
  const outputs = trimmedLength(node.outputs);
  if (outputs < schema.minimumOutputs || outputs > schema.maximumOutputs) {
    fail(`has ${String(outputs)} outputs, makes ${range(schema.minimumOutputs, schema.maximumOutputs)}`);
  }
  for (const [name, value] of Object.entries(node.attributes)) {
    const spec = schema.attributes[name];
    if (spec === undefined) return fail(`has no attribute "${name}"; it has ${Object.keys(schema.attributes).join(', ') || 'none'}`);
    const problem = attributeProblem(spec, value);
    if (problem !== undefined) fail(`attribute "${name}" ${problem}`);
  }
  for (const [name, spec] of Object.entries(schema.attributes)) if (spec.required === true && node.attributes[name] === undefined) fail(`attribute "${name}" is required`);
  return schema;
}

/** Elements worth remembering: none at all, or at least one known. */
function usableElements(value: KnownElements | undefined): KnownElements | undefined {
  return value === undefined || (value.length > 0 && value.every((element) => element === undefined)) ? undefined : value;
}

function trimmedLength(names: readonly string[]): number {
  let length = names.length;
  while (length > 0 && names[length - 1] === '') length--;
  return length;
}

function range(minimum: number, maximum: number): string {
  if (minimum === maximum) return String(minimum);
  return maximum === Infinity ? `${String(minimum)} or more` : `${String(minimum)} to ${String(maximum)}`;
}

/** The spec of the index-th parameter; the last one repeats when it is variadic. */
function parameterAt(parameters: readonly ParameterSpec[], index: number): ParameterSpec | undefined {
  const last = parameters.at(-1);
  return index < parameters.length ? parameters[index] : last?.variadic === true ? last : undefined;
}

/** Element type of each type variable, after checking that inputs that share one agree and that it may be that type. */
function bindTypes(schema: OperatorSchema, node: GraphNode, inputs: readonly (TypedValue | undefined)[], graph: string): Map<string, DType> {
  const bound = new Map<string, DType>();
  for (const parameter of [...schema.inputs, ...schema.outputs]) {
    if (schema.types[parameter.type] === undefined && !(parameter.type in anyOf)) bound.set(parameter.type, parameter.type as DType);
  }
  for (const [index, input] of inputs.entries()) {
    const parameter = parameterAt(schema.inputs, index);
    if (input === undefined || parameter === undefined) continue;
    const where = `input ${String(index)} (${parameter.name})`;
    const allowed = schema.types[parameter.type];
    if (allowed !== undefined && !allowed.includes(input.dtype)) throw nodeError(graph, node, `${where} is ${input.dtype}; allowed: ${allowed.join(', ')}`);
    const expected = bound.get(parameter.type);
    if (expected === undefined) bound.set(parameter.type, input.dtype);
    else if (expected !== input.dtype) throw nodeError(graph, node, `${where} is ${input.dtype}, expected ${expected}`);
  }
  return bound;
}

/** Type names that stand for no element type and are filled by the rule. */
const anyOf: Readonly<Record<string, true>> = { rule: true };

function createContext(schema: OperatorSchema, node: GraphNode, inputs: readonly (TypedValue | undefined)[], options: NodeInferenceOptions): InferenceContext {
  const fail = (problem: string): never => {
    throw nodeError(options.graph, node, problem);
  };
  const attribute = (name: string): AttributeValue | undefined => node.attributes[name] ?? schema.attributes[name]?.default;
  const given = <T extends AttributeValue>(name: string): T => (attribute(name) ?? fail(`attribute "${name}" is required`)) as T;
  const elements = (index: number): KnownElements | undefined => inputs[index]?.value;
  return {
    node,
    opset: options.opset,
    inputs,
    hasOutput: (index) => node.outputs[index] !== undefined && node.outputs[index] !== '',
    shape: (index) => inputs[index]?.shape,
    elements,
    numbers: (index) => {
      const known = elements(index);
      return known?.every((element) => typeof element === 'number') ? (known as readonly number[]) : undefined;
    },
    int: (name) => given<number>(name),
    string: (name) => given<string>(name),
    attribute,
    ints: (name) => attribute(name) as readonly number[] | undefined,
    tensor: (name) => attribute(name) as HostTensor | undefined,
    unknown: (output, axis) => options.symbol(`unknown_${(node.outputs[output] ?? '').replace(/\W/g, '_')}_${String(axis)}`),
    axis: (value, rank, name = 'axis') => {
      if (!Number.isInteger(value) || value < -rank || value >= rank) {
        fail(rank === 0 ? `${name} ${String(value)} of a scalar` : `${name} ${String(value)} is outside [${String(-rank)}, ${String(rank - 1)}]`);
      }
      return value < 0 ? value + rank : value;
    },
    fail,
  };
}

