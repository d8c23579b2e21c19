import { fromBinary } from '@bufbuild/protobuf';
import { pareError, tensorBytes, type AttributeValue, type Dimension, type DType, type Graph, type GraphNode, type HostTensor, type Initializer, type LazyTensor, type ValueInfo } from '@pare/core';
import { canonicalDomain } from '../operators/operator-key.js';
import { nodeError, type AttributeKind } from '../operators/schema.js';
import { operatorSchema } from '../operators/table.js';
import { dtypeOfOnnxCode, onnxTypeName } from '../types/element-type.js';
import type { ChunkedTensor } from '../types/chunked-tensor.js';
import { attributeTypeCodes, externalLocation } from './encode.js';
import { ModelProtoSchema, type AttributeProto, type GraphProto, type ModelProto, type NodeProto, type TensorProto, type ValueInfoProto } from './onnx.gen.js';
import { decodeTensor, externalPlace, tensorType } from './tensor-proto.js';

/** Where bytes come from: a lazy tensor's reading side, by chunks if it can. */
export type TensorSource = Pick<LazyTensor, 'read'> & Partial<Pick<ChunkedTensor, 'chunks'>>;

export interface DecodeOptions {
  /** Opens `length` bytes from `offset` of a data file. `location` was checked to stay inside the model's folder. */
  readonly external?: ((location: string, offset: number, length: number) => TensorSource) | undefined;
  /** What messages call the file. */
  readonly file?: string | undefined;
}

/** Bytes of an initializer that were left out of the message, by its index: how a file reader avoids loading them. */
export type LeftOut = ReadonlyMap<number, TensorSource & { readonly length: number }>;

/**
 * Reads an ONNX file. Tensors whose data is aligned are views of `bytes`.
 * @throws PARE_FILE_UNREADABLE when the bytes are no ONNX model, PARE_GRAPH_INVALID when the model uses what Pare does not support (sub-graphs, functions,
 * sequences, strings, float8) or contradicts itself. Operators are checked by `validateGraph`.
 */
export function decodeOnnx(bytes: Uint8Array, options: DecodeOptions = {}): Graph {
  return decodeModel(bytes, options, new Map());
}

export function decodeModel(bytes: Uint8Array, options: DecodeOptions, leftOut: LeftOut): Graph {
  const file = options.file ?? 'the ONNX bytes';
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw pareError('PARE_FILE_UNREADABLE', { file, reason: `it is not an ONNX model, or it is truncated (${error instanceof Error ? error.message : String(error)})` }, error);
  }
  if (model.graph === undefined) throw pareError('PARE_FILE_UNREADABLE', { file, reason: 'it is not an ONNX model: it holds no graph' });
  if (model.opsetImport.length === 0) throw pareError('PARE_FILE_UNREADABLE', { file, reason: 'it is not an ONNX model: it names no operator set' });
  return decodeGraph(model, model.graph, options, leftOut);
}

function decodeGraph(model: ModelProto, proto: GraphProto, options: DecodeOptions, leftOut: LeftOut): Graph {
  const name = proto.name;
  if (proto.sparseInitializer.length > 0) fail(name, 'initializers', 'sparse initializers are not supported');
  const functions = new Set(model.functions.map((item) => `${canonicalDomain(item.domain)}::${item.name}`));
  const initializers = new Map<string, Initializer>();
  for (const [index, tensor] of proto.initializer.entries()) {
    if (initializers.has(tensor.name)) fail(name, `initializer "${tensor.name}"`, 'it is given twice');
    initializers.set(tensor.name, decodeInitializer(name, tensor, options, leftOut.get(index)));
  }
  return {
    name,
    // Files before IR version 4 list initializers among the inputs.
    inputs: proto.input.filter((input) => !initializers.has(input.name)).map((input) => decodeValueInfo(name, input, 'input')),
    outputs: proto.output.map((output) => decodeValueInfo(name, output, 'output')),
    initializers,
    nodes: proto.node.map((node) => decodeNode(name, node, functions)),
    opsets: Object.fromEntries(model.opsetImport.map((opset) => [canonicalDomain(opset.domain), Number(opset.version)])),
  };
}

function decodeInitializer(graph: string, tensor: TensorProto, options: DecodeOptions, leftOut: (TensorSource & { readonly length: number }) | undefined): Initializer {
  const failTensor = (problem: string): never => fail(graph, `initializer "${tensor.name}"`, problem);
  if (leftOut !== undefined) {
    const type = tensorType(tensor, failTensor);
    if (leftOut.length !== tensorBytes(type)) failTensor(`it has ${String(leftOut.length)} bytes of data, its shape [${type.shape.join(', ')}] needs ${String(tensorBytes(type))}`);
    return lazyTensor(type, leftOut);
  }
  if (tensor.dataLocation !== externalLocation) return decodeTensor(tensor, failTensor);
  const type = tensorType(tensor, failTensor);
  const place = externalPlace(tensor, failTensor);
  if (options.external === undefined) return failTensor(`its data lies in "${place.location}"; read the model from its file`);
  return lazyTensor(type, options.external(place.location, place.offset, place.length));
}

function lazyTensor(type: { dtype: DType; shape: number[] }, source: TensorSource): LazyTensor | ChunkedTensor {
  const lazy = { ...type, read: () => source.read() };
  return source.chunks === undefined ? lazy : { ...lazy, chunks: () => source.chunks!() };
}

function decodeValueInfo(graph: string, value: ValueInfoProto, role: 'input' | 'output'): ValueInfo {
  const label = `${role} "${value.name}"`;
  const type = value.type?.value;
  if (type?.case !== 'tensorType') return fail(graph, label, `it is of kind ${type?.case?.replace('Type', '') ?? 'unknown'}; tensors are supported`);
  const dtype = dtypeOfOnnxCode(type.value.elemType) ?? fail(graph, label, `it holds ${onnxTypeName(type.value.elemType)}, which is not supported`);
  const shape = type.value.shape?.dim.map((dimension, axis): Dimension => {
    if (dimension.value.case === 'dimValue') {
      const size = Number(dimension.value.value);
      // Some exporters write −1 or 0 for "any size"; a negative one can mean nothing else.
      return size < 0 ? `${value.name}_dim_${String(axis)}` : size;
    }
    return dimension.value.case === 'dimParam' && dimension.value.value !== '' ? dimension.value.value : `${value.name}_dim_${String(axis)}`;
  });
  return { name: value.name, dtype, shape };
}

function decodeNode(graph: string, proto: NodeProto, functions: ReadonlySet<string>): GraphNode {
  const domain = canonicalDomain(proto.domain);
  const node: GraphNode = { operator: proto.opType, domain, name: proto.name, inputs: proto.input, outputs: proto.output, attributes: {} };
  if (functions.has(`${domain}::${proto.opType}`)) throw nodeError(graph, node, 'it calls a function of the model; inline functions before importing');
  const attributes: Record<string, AttributeValue> = {};
  for (const attribute of proto.attribute) {
    if (Object.hasOwn(attributes, attribute.name)) throw nodeError(graph, node, `attribute "${attribute.name}" is given twice`);
    attributes[attribute.name] = decodeAttribute(graph, node, attribute);
  }
  return { ...node, attributes };
}

const kindsByCode = new Map((Object.keys(attributeTypeCodes) as AttributeKind[]).map((kind) => [attributeTypeCodes[kind], kind]));

function decodeAttribute(graph: string, node: GraphNode, attribute: AttributeProto): AttributeValue {
  const failAttribute = (problem: string): never => {
    throw nodeError(graph, node, `attribute "${attribute.name}" ${problem}`);
  };
  if (attribute.type === 5 || attribute.type === 10 || attribute.g.length > 0 || attribute.graphs.length > 0) failAttribute('is a graph; control flow is not supported');
  if (attribute.refAttrName !== '') failAttribute(`refers to a function's attribute "${attribute.refAttrName}"`);
  const expected = operatorSchema(node.operator, node.domain)?.attributes[attribute.name]?.kind;
  const kind = attribute.type === 0 ? presentKind(attribute) : kindsByCode.get(attribute.type);
  if (kind === undefined) return failAttribute(`is of type ${String(attribute.type)}, which is not supported`);
  if (expected !== undefined && kind !== expected) failAttribute(`must be of kind ${expected}, is ${kind}`);
  const text = new TextDecoder();
  switch (kind) {
    case 'float':
      return attribute.f;
    case 'int':
      return Number(attribute.i);
    case 'string':
      return text.decode(attribute.s);
    case 'tensor':
      return attribute.t === undefined ? failAttribute('holds no tensor') : decodeAttributeTensor(attribute.t, failAttribute);
    case 'floats':
      return attribute.floats;
    case 'ints':
      return attribute.ints.map(Number);
    case 'strings':
      return attribute.strings.map((item) => text.decode(item));
  }
}

function decodeAttributeTensor(tensor: TensorProto, failAttribute: (problem: string) => never): HostTensor {
  return tensor.dataLocation === externalLocation ? failAttribute('keeps its data in another file') : decodeTensor(tensor, (problem) => failAttribute(`holds a tensor: ${problem}`));
}

/** The kind of an attribute of an early file, which does not say. */
function presentKind(attribute: AttributeProto): AttributeKind | undefined {
  if (attribute.t !== undefined) return 'tensor';
  if (attribute.floats.length > 0) return 'floats';
  if (attribute.ints.length > 0) return 'ints';
  if (attribute.strings.length > 0) return 'strings';
  if (attribute.s.length > 0) return 'string';
  return Object.hasOwn(attribute, 'i') ? 'int' : Object.hasOwn(attribute, 'f') ? 'float' : undefined;
}

function fail(graph: string, node: string, problem: string): never {
  throw pareError('PARE_GRAPH_INVALID', { graph, node, problem });
}
