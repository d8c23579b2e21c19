import { pareError, type AttributeValue, type Dimension, type DType, type GraphNode, type HostTensor, type ValueType } from '@pare/core';
import { operatorKey } from './operator-key.js';

/** Types of attribute values, named after the fields of ONNX's AttributeProto. */
export type AttributeKind = 'int' | 'float' | 'string' | 'tensor' | 'ints' | 'floats' | 'strings';

export interface AttributeSpec {
  readonly kind: AttributeKind;
  readonly required?: boolean;
  readonly default?: AttributeValue;
  /** Strings allowed. */
  readonly oneOf?: readonly string[];
}

export interface ParameterSpec {
  readonly name: string;
  /** A type variable of the schema's `types`, or an element type. */
  readonly type: string;
  readonly optional: boolean;
  readonly variadic: boolean;
}

/**
 * Elements of a small tensor (rank 0 or 1, or a constant) as far as they are known while shapes are inferred: numbers, symbolic sizes, or undefined
 * where unknown. Booleans are 0 and 1.
 */
export type KnownElements = readonly (Dimension | undefined)[];

/** A value's type with its known elements. */
export interface TypedValue extends ValueType {
  readonly value?: KnownElements | undefined;
}

/** What a rule says of one output. The type is the schema's unless the rule knows better. */
export interface InferredOutput {
  readonly shape: readonly Dimension[] | undefined;
  readonly dtype?: DType | undefined;
  readonly value?: KnownElements | undefined;
}

/** Known elements of tensors beyond this size are not tracked. */
export const maximumKnownElements = 256;

/** What an inference rule sees of one node. Failures throw PARE_GRAPH_INVALID with graph and node. */
export interface InferenceContext {
  readonly node: GraphNode;
  /** Version of the node's operator set. */
  readonly opset: number;
  readonly inputs: readonly (TypedValue | undefined)[];
  /** True when the node has this output. */
  hasOutput(index: number): boolean;
  /** Shape of a required input, or undefined while its rank is unknown. */
  shape(index: number): readonly Dimension[] | undefined;
  /** Known elements of an input. */
  elements(index: number): KnownElements | undefined;
  /** The input's elements when every one is a known number, else undefined. */
  numbers(index: number): readonly number[] | undefined;
  int(name: string): number;
  string(name: string): string;
  /** An optional attribute as it stands, defaults included. */
  attribute(name: string): AttributeValue | undefined;
  ints(name: string): readonly number[] | undefined;
  tensor(name: string): HostTensor | undefined;
  /** A new symbol for a size that only a run can tell. */
  unknown(output: number, axis: number): string;
  /** `axis` counted from the front. */
  axis(value: number, rank: number, name?: string): number;
  fail(problem: string): never;
}

export type InferenceRule = (context: InferenceContext) => readonly InferredOutput[];

/** One operator of the documented subset: the facts that builder, reader, writer and checks share. */
export interface OperatorSchema {
  readonly name: string;
  /** Operator set; the empty string is ONNX's own. */
  readonly domain: string;
  readonly inputs: readonly ParameterSpec[];
  readonly outputs: readonly ParameterSpec[];
  readonly minimumInputs: number;
  readonly maximumInputs: number;
  readonly minimumOutputs: number;
  readonly maximumOutputs: number;
  /** Element types that each type variable may stand for. */
  readonly types: Readonly<Record<string, readonly DType[]>>;
  readonly attributes: Readonly<Record<string, AttributeSpec>>;
  readonly infer: InferenceRule;
}

export interface OperatorDefinition {
  readonly domain?: string;
  /** `'X:T axes?:int64'`: name and type; `?` marks an optional parameter, `...` a variadic one. */
  readonly inputs: string;
  readonly outputs: string;
  readonly types?: Readonly<Record<string, readonly DType[]>>;
  readonly attributes?: Readonly<Record<string, AttributeSpec>>;
  readonly infer: InferenceRule;
}

/** Makes a table entry from its compact form. */
export function defineOperator(name: string, definition: OperatorDefinition): OperatorSchema {
  const inputs = parseParameters(definition.inputs);
  const outputs = parseParameters(definition.outputs);
  return {
    name,
    domain: definition.domain ?? '',
    inputs,
    outputs,
    minimumInputs: inputs.findLastIndex((input) => !input.optional) + 1,
    maximumInputs: inputs.some((input) => input.variadic) ? Infinity : inputs.length,
    minimumOutputs: outputs.findLastIndex((output) => !output.optional) + 1,
    maximumOutputs: outputs.some((output) => output.variadic) ? Infinity : outputs.length,
    types: definition.types ?? {},
    attributes: definition.attributes ?? {},
    infer: definition.infer,
  };
}

function parseParameters(text: string): ParameterSpec[] {
  return text
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => {
      const [name, type] = part.split(':') as [string, string];
      return { name: name.replace(/\?|\.\.\./, ''), type, optional: name.includes('?'), variadic: name.includes('...') };
    });
}

/** An integer attribute. Without a default it is optional. */
export const int = (value?: number): AttributeSpec => ({ kind: 'int', ...(value === undefined ? {} : { default: value }) });
/** A float attribute. Without a default it is optional. */
export const float = (value?: number): AttributeSpec => ({ kind: 'float', ...(value === undefined ? {} : { default: value }) });
/** A string attribute. */
export const string = (value?: string, oneOf?: readonly string[]): AttributeSpec => ({
  kind: 'string',
  ...(value === undefined ? {} : { default: value }),
  ...(oneOf === undefined ? {} : { oneOf }),
});
/** Another attribute kind without default. */
export const attribute = (kind: AttributeKind): AttributeSpec => ({ kind });
/** An attribute that must be given. */
export const required = (kind: AttributeKind): AttributeSpec => ({ kind, required: true });

/** True when a value is a host tensor, the only attribute value that is an object but no array. */
export function isTensorAttribute(value: AttributeValue): value is HostTensor {
  return typeof value === 'object' && !Array.isArray(value);
}

/** Why a value is not of the attribute's kind, or undefined when it is. */
export function attributeProblem(spec: AttributeSpec, value: AttributeValue): string | undefined {
  const found = kindsOf(value);
  if (!found.includes(spec.kind)) return `must be of kind ${spec.kind}, is ${found[0] ?? typeof value}`;
  if (spec.oneOf !== undefined && !spec.oneOf.includes(value as string)) return `is "${String(value)}"; allowed: ${spec.oneOf.map((item) => `"${item}"`).join(', ')}`;
  return undefined;
}

function kindsOf(value: AttributeValue): AttributeKind[] {
  if (typeof value === 'number') return Number.isInteger(value) ? ['int', 'float'] : ['float'];
  if (typeof value === 'string') return ['string'];
  if (isTensorAttribute(value)) return ['tensor'];
  if (value.length === 0) return ['ints', 'floats', 'strings'];
  if ((value as readonly unknown[]).every((item) => typeof item === 'string')) return ['strings'];
  if (!(value as readonly unknown[]).every((item) => typeof item === 'number')) return [];
  return (value as readonly number[]).every((item) => Number.isInteger(item)) ? ['ints', 'floats'] : ['floats'];
}

/** How a node is called in messages. */
export function nodeLabel(node: GraphNode): string {
  const key = operatorKey(node.operator, node.domain).replace(/^::/, '');
  return node.name === '' ? `${key} (output "${node.outputs.find((output) => output !== '') ?? ''}")` : `"${node.name}" (${key})`;
}

/** The error of a node that breaks a rule. */
export function nodeError(graph: string, node: GraphNode, problem: string): Error {
  return pareError('PARE_GRAPH_INVALID', { graph, node: nodeLabel(node), problem });
}
