import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  isHostInitializer,
  pareError,
  tensorBytes,
  type AttributeValue,
  type Graph,
  type GraphNode,
  type HostTensor,
  type Initializer,
  type LazyTensor,
  type ValueInfo,
} from '@pare/core';
import { attributeProblem, isTensorAttribute, nodeError, type AttributeKind } from '../operators/schema.js';
import { operatorSchema } from '../operators/table.js';
import { onnxTypeCode } from '../types/element-type.js';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './onnx.gen.js';

/** IR version 10 is the first with int4; every reader of operator set 21 knows it. */
const irVersion = 10n;
/** Numbers of AttributeProto.AttributeType. */
export const attributeTypeCodes: Readonly<Record<AttributeKind, number>> = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7, strings: 8 };
/** TensorProto.DataLocation.EXTERNAL. */
export const externalLocation = 1;
/** Protobuf messages are limited to 2 GiB. */
export const maximumMessageBytes = 2 ** 31 - 1;

/** Where a file keeps a tensor that is not in the file itself. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
}

/** A piece of a file: bytes, or a tensor whose bytes are fetched when the piece is written. */
export type FilePart = Uint8Array | LazyTensor;

/**
 * The bytes of an ONNX file with every initializer inside.
 * @throws PARE_GRAPH_INVALID for lazy initializers, unencodable attributes, and files beyond protobuf's 2 GiB.
 */
export function encodeOnnx(graph: Graph): Uint8Array {
  for (const [name, initializer] of graph.initializers) {
    if (!isHostInitializer(initializer)) fail(graph, `initializer "${name}"`, 'its data is not in memory; write the graph with writeOnnxFile');
  }
  const parts = encodeParts(graph) as Uint8Array[];
  const bytes = new Uint8Array(partsBytes(parts));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return bytes;
}

/** Bytes that the parts take together. */
export function partsBytes(parts: readonly FilePart[]): number {
  return parts.reduce((sum, part) => sum + (part instanceof Uint8Array ? part.byteLength : tensorBytes(part)), 0);
}

/**
 * An ONNX file as a list of parts, in order. Tensor data is never copied: host tensors appear as views of their arrays. `external` says which
 * initializers lie in another file.
 */
export function encodeParts(graph: Graph, external?: (name: string, initializer: Initializer) => ExternalPlace | undefined): FilePart[] {
  checkSize(graph, inlineBytes(graph, external));
  // Field order is free in protobuf, so the graph's initializers, and their data, can follow everything else.
  const graphParts: FilePart[] = [
    toBinary(
      GraphProtoSchema,
      create(GraphProtoSchema, {
        name: graph.name,
        node: graph.nodes.map((node) => encodeNode(graph, node)),
        input: graph.inputs.map(encodeValueInfo),
        output: graph.outputs.map(encodeValueInfo),
      }),
    ),
  ];
  for (const [name, initializer] of graph.initializers) graphParts.push(...encodeInitializer(name, initializer, external?.(name, initializer)));
  const head = toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion,
      producerName: 'pare',
      opsetImport: Object.entries(graph.opsets).map(([domain, version]) => create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) })),
    }),
  );
  checkSize(graph, partsBytes(graphParts) + head.byteLength + 16);
  return [head, lengthPrefix(ModelProtoSchema.field.graph.number, partsBytes(graphParts)), ...graphParts];
}

/** Tensor bytes that go into the file itself. */
function inlineBytes(graph: Graph, external: ((name: string, initializer: Initializer) => ExternalPlace | undefined) | undefined): number {
  let bytes = 0;
  for (const [name, initializer] of graph.initializers) if (external?.(name, initializer) === undefined) bytes += tensorBytes(initializer);
  return bytes;
}

function checkSize(graph: Graph, bytes: number): void {
  if (bytes > maximumMessageBytes) {
    fail(graph, 'file', `it would have ${String(bytes)} bytes or more, protobuf allows ${String(maximumMessageBytes)}; keep large tensors in external data`);
  }
}

/** Tag and length of a length-delimited field whose content follows. */
function lengthPrefix(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

function encodeInitializer(name: string, initializer: Initializer, place: ExternalPlace | undefined): FilePart[] {
  const proto = create(TensorProtoSchema, { name, dataType: onnxTypeCode(initializer.dtype), dims: initializer.shape.map(BigInt) });
  const field = GraphProtoSchema.field.initializer.number;
  if (place !== undefined) {
    const entries: Record<string, string> = { location: place.location, offset: String(place.offset), length: String(tensorBytes(initializer)) };
    proto.dataLocation = externalLocation;
    proto.externalData = Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }));
    const bytes = toBinary(TensorProtoSchema, proto);
    return [lengthPrefix(field, bytes.byteLength), bytes];
  }
  const head = toBinary(TensorProtoSchema, proto);
  const size = tensorBytes(initializer);
  const prefix = lengthPrefix(TensorProtoSchema.field.rawData.number, size);
  return [lengthPrefix(field, head.byteLength + prefix.byteLength + size), head, prefix, isHostInitializer(initializer) ? tensorBytesView(initializer) : initializer];
}

/** A tensor's bytes, without a copy. Every platform Node and browsers run on is little-endian, as ONNX is. */
export function tensorBytesView(tensor: HostTensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

function encodeValueInfo(value: ValueInfo): ValueInfoProto {
  const shape =
    value.shape === undefined
      ? {}
      : {
          shape: create(TensorShapeProtoSchema, {
            dim: value.shape.map((dimension) =>
              create(TensorShapeProto_DimensionSchema, {
                value: typeof dimension === 'number' ? { case: 'dimValue', value: BigInt(dimension) } : { case: 'dimParam', value: dimension },
              }),
            ),
          }),
        };
  const tensor = create(TypeProto_TensorSchema, { elemType: onnxTypeCode(value.dtype), ...shape });
  return create(ValueInfoProtoSchema, { name: value.name, type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }) });
}

function encodeNode(graph: Graph, node: GraphNode): NodeProto {
  const attribute = Object.entries(node.attributes).map(([name, value]) => encodeAttribute(graph, node, name, value));
  return create(NodeProtoSchema, { input: [...node.inputs], output: [...node.outputs], name: node.name, opType: node.operator, domain: node.domain, attribute });
}

function encodeAttribute(graph: Graph, node: GraphNode, name: string, value: AttributeValue): AttributeProto {
  const kind = attributeKind(graph, node, name, value);
  const proto = create(AttributeProtoSchema, { name, type: attributeTypeCodes[kind] });
  const text = new TextEncoder();
  if (kind === 'int') proto.i = toInt64(value as number);
  else if (kind === 'float') proto.f = value as number;
  else if (kind === 'string') proto.s = text.encode(value as string);
  else if (kind === 'tensor') proto.t = encodeTensor(value as HostTensor);
  else if (kind === 'ints') proto.ints = (value as readonly number[]).map(toInt64);
  else if (kind === 'floats') proto.floats = [...(value as readonly number[])];
  else proto.strings = (value as readonly string[]).map((item) => text.encode(item));
  return proto;
}

/** Numbers do not say whether they are integers or floats: the operator's schema does. */
function attributeKind(graph: Graph, node: GraphNode, name: string, value: AttributeValue): AttributeKind {
  const schema = operatorSchema(node.operator, node.domain);
  const spec = schema?.attributes[name];
  if (spec !== undefined) {
    const problem = attributeProblem(spec, value);
    if (problem !== undefined) throw nodeError(graph.name, node, `attribute "${name}" ${problem}`);
    return spec.kind;
  }
  if (schema !== undefined) throw nodeError(graph.name, node, `has no attribute "${name}"`);
  if (typeof value === 'string') return 'string';
  if (isTensorAttribute(value)) return 'tensor';
  if (Array.isArray(value) && value.length > 0 && typeof value[0] === 'string') return 'strings';
  throw nodeError(graph.name, node, `attribute "${name}" is a number of an operator outside the supported subset: it cannot be told whether it is an integer or a float`);
}

/** The nearest int64: exporters' INT64_MAX is not a JavaScript number. */
function toInt64(value: number): bigint {
  if (value >= 2 ** 63) return 2n ** 63n - 1n;
  return value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(value);
}

function encodeTensor(tensor: HostTensor): TensorProto {
  return create(TensorProtoSchema, { dims: tensor.shape.map(BigInt), dataType: onnxTypeCode(tensor.dtype), rawData: tensorBytesView(tensor) as Uint8Array<ArrayBuffer> });
}

function fail(graph: Graph, node: string, problem: string): never {
  throw pareError('PARE_GRAPH_INVALID', { graph: graph.name, node, problem });
}
