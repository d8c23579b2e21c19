import { pareError, type DType, type GraphNode, type HostTensor } from '@pare/core';
import { numbers } from './values.js';

/** One application of an operator, as a kernel gets it. */
export interface Call {
  readonly node: GraphNode;
  readonly inputs: readonly (HostTensor | undefined)[];
  /** Version of the node's operator set; kernels consult it where a form cannot be told from the node alone. */
  readonly opset: number;
  /** Name of the graph, for messages. */
  readonly graph: string;
}

/** Computes a node's outputs, in order. Outputs may share storage with inputs; inputs are never written. */
export type Kernel = (call: Call) => HostTensor[];

/** Throws PARE_GRAPH_INVALID for the call's node. */
export function fail(call: Call, problem: string): never {
  const name = call.node.name === '' ? call.node.operator : `"${call.node.name}" (${call.node.operator})`;
  throw pareError('PARE_GRAPH_INVALID', { graph: call.graph, node: name, problem });
}

/** A required input. */
export function input(call: Call, position: number): HostTensor {
  return call.inputs[position] ?? fail(call, `input ${String(position)} is missing`);
}

/** All inputs of a variadic operator. */
export function allInputs(call: Call): HostTensor[] {
  return call.inputs.map((_, position) => input(call, position));
}

/** True when the node asks for its output at `position`. */
export function wantsOutput(call: Call, position: number): boolean {
  return (call.node.outputs[position] ?? '') !== '';
}

export function numberAttribute(call: Call, name: string): number | undefined;
export function numberAttribute(call: Call, name: string, fallback: number): number;
export function numberAttribute(call: Call, name: string, fallback?: number): number | undefined {
  const value = call.node.attributes[name] ?? fallback;
  if (value === undefined || typeof value === 'number') return value;
  return fail(call, `attribute ${name} must be a number`);
}

export function numbersAttribute(call: Call, name: string): readonly number[] | undefined {
  const value = call.node.attributes[name];
  if (value === undefined) return undefined;
  if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return value as readonly number[];
  return fail(call, `attribute ${name} must be a list of numbers`);
}

export function stringAttribute(call: Call, name: string, fallback: string): string {
  const value = call.node.attributes[name] ?? fallback;
  return typeof value === 'string' ? value : fail(call, `attribute ${name} must be a string`);
}

/** An attribute that must be one of `allowed`. */
export function choiceAttribute<T extends string>(call: Call, name: string, allowed: readonly T[], fallback: T): T {
  const value = stringAttribute(call, name, fallback);
  return allowed.find((choice) => choice === value) ?? fail(call, `attribute ${name} is "${value}"; allowed: ${allowed.join(', ')}`);
}

export function tensorAttribute(call: Call, name: string): HostTensor | undefined {
  const value = call.node.attributes[name];
  if (value === undefined) return undefined;
  if (typeof value === 'object' && 'dtype' in value) return value;
  return fail(call, `attribute ${name} must be a tensor`);
}

/** The values of an integer tensor, as shapes, axes and sizes are given. */
export function integers(tensor: HostTensor): number[] {
  return Array.from(numbers(tensor));
}

/** Integers given as an input since some opset and as an attribute before it. */
export function integersFrom(call: Call, position: number, attribute: string): readonly number[] | undefined {
  const tensor = call.inputs[position];
  return tensor === undefined ? numbersAttribute(call, attribute) : integers(tensor);
}

/** An axis in 0 … rank−1 from one that may count from the end. */
export function normalizeAxis(call: Call, axis: number, rank: number): number {
  if (axis < -rank || axis >= rank) fail(call, `axis ${String(axis)} is outside a tensor of rank ${String(rank)}`);
  return axis < 0 ? axis + rank : axis;
}

/** Throws unless all tensors have the same element type, and returns it. */
export function commonType(call: Call, tensors: readonly HostTensor[]): DType {
  const dtype = tensors[0]?.dtype ?? fail(call, 'at least one input is needed');
  const other = tensors.find((tensor) => tensor.dtype !== dtype);
  if (other !== undefined) fail(call, `inputs must have one type, got ${dtype} and ${other.dtype}`);
  return dtype;
}

/** Throws unless the tensor's type is among `allowed`. */
export function requireType(call: Call, tensor: HostTensor, what: string, allowed: readonly DType[]): void {
  if (!allowed.includes(tensor.dtype)) fail(call, `${what} is ${tensor.dtype}; allowed: ${allowed.join(', ')}`);
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** ONNX's numbers of element types. */
export const onnxTypes: ReadonlyMap<number, DType> = new Map<number, DType>([
  [1, 'float32'],
  [2, 'uint8'],
  [3, 'int8'],
  [4, 'uint16'],
  [5, 'int16'],
  [6, 'int32'],
  [7, 'int64'],
  [9, 'bool'],
  [10, 'float16'],
  [11, 'float64'],
  [12, 'uint32'],
  [13, 'uint64'],
  [16, 'bfloat16'],
  [21, 'uint4'],
  [22, 'int4'],
]);

/** The element type that an attribute names by ONNX's number. */
export function typeAttribute(call: Call, name: string): DType | undefined {
  const code = numberAttribute(call, name);
  if (code === undefined || code === 0) return undefined;
  return onnxTypes.get(code) ?? fail(call, `attribute ${name} is element type ${String(code)}, which Pare does not have`);
}
