import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { float32Tensor, hostTensor, int64Tensor, isPareError, type DType, type Graph, type LazyTensor, type TypedArray } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../builder.js';
import { validateGraph } from '../validate.js';
import { decodeOnnx } from './decode.js';
import { encodeOnnx } from './encode.js';
import { AttributeProtoSchema, ModelProtoSchema, type ModelProto, type TensorProto } from './onnx.gen.js';

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isPareError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'nothing was thrown';
}

/** A graph with every attribute kind and every element type. */
function everything(): Graph {
  const b = new GraphBuilder('everything');
  const x = b.input('x', 'float32', ['batch', 8]);
  const bytes = Uint8Array.from({ length: 64 }, (_, index) => index * 37);
  const tensors: [DType, TypedArray][] = [
    ['float64', new Float64Array([1.5, -2])],
    ['float32', new Float32Array([1.5, NaN])],
    ['float16', new Uint16Array([0x3c00, 0x7bff])],
    ['bfloat16', new Uint16Array([0x3f80, 0x7f80])],
    ['int64', new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n])],
    ['int32', new Int32Array([-(2 ** 31), 5])],
    ['int16', new Int16Array([-32768, 5])],
    ['int8', new Int8Array([-128, 5])],
    ['uint64', new BigUint64Array([2n ** 64n - 1n, 0n])],
    ['uint32', new Uint32Array([2 ** 32 - 1, 0])],
    ['uint16', new Uint16Array([65535, 0])],
    ['uint8', bytes.slice(0, 2)],
    ['bool', new Uint8Array([1, 0])],
    ['int4', bytes.slice(2, 3)],
    ['uint4', bytes.slice(3, 4)],
  ];
  for (const [dtype, data] of tensors) b.output(b.op('Identity', [b.initializer(`constant_${dtype}`, hostTensor(dtype, [2], data))]), `output_${dtype}`);
  b.initializer('empty', float32Tensor([0, 3]));
  b.initializer('scalar', float32Tensor([], [7]));
  const parts = b.node('Split', [x], { axis: 1, num_outputs: 2 }, { outputs: 2 });
  const scaled = b.op('QuickGelu', [parts[0]!], { alpha: 2 }, { domain: 'com.microsoft' });
  b.output(b.op('Gelu', [scaled], { approximate: 'tanh' }), 'gelu');
  b.output(b.transpose(parts[1]!, [1, 0]), 'transposed');
  b.output(b.op('ConstantOfShape', [b.int64([2])], { value: int64Tensor([1], [9]) }), 'nines');
  b.output(b.op('Constant', [], { value_floats: [0.5, 2] }), 'floats');
  b.output(b.op('Clip', [x, undefined, b.scalar(1)], {}, { name: 'clip' }), 'clipped');
  b.output(b.op('Shape', [x], { end: Number(2n ** 63n - 1n) }), 'shape');
  return b.build();
}

describe('encodeOnnx and decodeOnnx', () => {
  it('keep every element type, attribute kind and absent input', () => {
    const graph = everything();
    validateGraph(graph);
    const decoded = decodeOnnx(encodeOnnx(graph));
    expect(decoded).toEqual(graph);
    expect(decoded.nodes.find((node) => node.name === 'clip')?.inputs).toEqual(['x', '', 'constant_2']);
  });

  it('read tensors in place where alignment allows', () => {
    const b = new GraphBuilder('views');
    b.output(b.op('Identity', [b.initializer('bytes', hostTensor('uint8', [4], Uint8Array.of(1, 2, 3, 4)))]), 'y');
    const bytes = encodeOnnx(b.build());
    const tensor = decodeOnnx(bytes).initializers.get('bytes') as ReturnType<typeof hostTensor>;
    expect(tensor.data.buffer).toBe(bytes.buffer);
  });

  it('refuse lazy initializers', () => {
    const lazy: LazyTensor = { dtype: 'float32', shape: [1], read: () => Promise.resolve(new Uint8Array(4)) };
    const b = new GraphBuilder('lazy');
    b.output(b.op('Identity', [b.initializer('w', lazy)]), 'y');
    expect(messageOf(() => encodeOnnx(b.build()))).toContain('PARE_GRAPH_INVALID graph "lazy", node initializer "w": its data is not in memory');
  });

  it('refuse to guess the kind of a number', () => {
    const graph = everything();
    const node = { operator: 'Custom', domain: 'org.example', name: 'n', inputs: [], outputs: ['z'], attributes: { size: 3 } };
    expect(messageOf(() => encodeOnnx({ ...graph, nodes: [node] }))).toContain('cannot be told whether it is an integer or a float');
    expect(() => encodeOnnx({ ...graph, nodes: [{ ...node, attributes: { mode: 'a', names: ['b'], table: float32Tensor([1]) } }] })).not.toThrow();
    expect(messageOf(() => encodeOnnx({ ...graph, nodes: [{ ...node, operator: 'Softmax', domain: '', attributes: { axis: 'x' } }] }))).toContain('must be of kind int');
  });

  it('refuse files that protobuf cannot hold, before copying anything', () => {
    const data = new Uint8Array(16);
    // A tensor that claims 3 GiB; the check needs shapes only.
    const b = new GraphBuilder('huge');
    b.output(b.op('Identity', [b.initializer('w', { dtype: 'uint8', shape: [3 * 2 ** 30], data })]), 'y');
    expect(messageOf(() => encodeOnnx(b.build()))).toContain('protobuf allows 2147483647');
  });
});

describe('decodeOnnx on bytes that are no model', () => {
  const bytes = encodeOnnx(everything());

  it('refuses an empty file, text and noise', () => {
    expect(messageOf(() => decodeOnnx(new Uint8Array()))).toContain('PARE_FILE_UNREADABLE cannot read the ONNX bytes: it is not an ONNX model: it holds no graph');
    expect(messageOf(() => decodeOnnx(new TextEncoder().encode('{"not": "onnx"}'), { file: 'model.onnx' }))).toContain('PARE_FILE_UNREADABLE cannot read model.onnx');
    for (let seed = 1; seed <= 300; seed++) {
      const noise = Uint8Array.from({ length: 200 }, (_, index) => Math.imul(seed * 7919 + index, 2654435761) >>> 24);
      expect(messageOf(() => decodeOnnx(noise))).toMatch(/^PARE_(FILE_UNREADABLE|GRAPH_INVALID)/);
    }
  });

  it('refuses every truncation, or finds the graph incomplete', () => {
    const graph = decodeOnnx(bytes);
    for (let length = 0; length < bytes.byteLength; length += 7) {
      expect(messageOf(() => decodeOnnx(bytes.slice(0, length)))).toMatch(/^PARE_(FILE_UNREADABLE|GRAPH_INVALID)/);
    }
    expect(decodeOnnx(bytes)).toEqual(graph);
  });

  it('survives flipped bytes without raw exceptions', () => {
    for (let position = 0; position < bytes.byteLength; position += 3) {
      const damaged = bytes.slice();
      damaged[position] = damaged[position]! ^ 0x55;
      expect(
        messageOf(() => {
          validateGraph(decodeOnnx(damaged));
        }),
      ).toMatch(/^(PARE_(FILE_UNREADABLE|GRAPH_INVALID)|nothing was thrown)/);
    }
  });
});

describe('decodeOnnx on models beyond the subset', () => {
  const change = (edit: (model: ModelProto) => void): string => {
    const model = fromBinary(ModelProtoSchema, encodeOnnx(everything()));
    edit(model);
    return messageOf(() => decodeOnnx(toBinary(ModelProtoSchema, model)));
  };
  const first = (model: ModelProto): TensorProto => model.graph!.initializer.find((tensor) => tensor.name === 'constant_float32')!;
  const external = (tensor: TensorProto, entries: Record<string, string>): void => {
    tensor.dataLocation = 1;
    tensor.externalData = Object.entries(entries).map(([key, value]) => ({ $typeName: 'pare.onnx.StringStringEntryProto', key, value }));
  };

  it.each<[string, (model: ModelProto) => void, string]>([
    ['sub-graphs', (m) => m.graph!.node[0]!.attribute.push(create(AttributeProtoSchema, { name: 'body', type: 5, g: new Uint8Array([1]) })), 'is a graph; control flow is not supported'],
    ['function calls', (m) => m.functions.push({ $typeName: 'pare.onnx.FunctionProto', name: 'Identity', domain: '' }), 'it calls a function of the model'],
    ['function attributes', (m) => m.graph!.node[0]!.attribute.push(create(AttributeProtoSchema, { name: 'a', type: 2, refAttrName: 'b' })), `refers to a function's attribute "b"`],
    ['sparse tensors', (m) => m.graph!.sparseInitializer.push(new Uint8Array([0])), 'sparse initializers are not supported'],
    ['attribute types', (m) => m.graph!.node[0]!.attribute.push(create(AttributeProtoSchema, { name: 'a', type: 13 })), 'is of type 13, which is not supported'],
    ['attributes of the wrong kind', (m) => (m.graph!.node.find((node) => node.opType === 'Gelu')!.attribute[0]!.type = 2), 'must be of kind string, is int'],
    ['repeated attributes', (m) => m.graph!.node.find((node) => node.opType === 'Gelu')!.attribute.push(m.graph!.node.find((node) => node.opType === 'Gelu')!.attribute[0]!), 'is given twice'],
    ['repeated initializers', (m) => m.graph!.initializer.push(first(m)), 'it is given twice'],
    ['strings', (m) => (first(m).dataType = 8), 'it holds string, which is not supported'],
    ['data of another size', (m) => (first(m).dims = [3n]), 'it has 8 bytes of data, its shape [3] needs 12'],
    ['missing data', (m) => (first(m).rawData = new Uint8Array(0)), 'it has 0 elements of data, its shape [2] needs 2'],
    ['negative sizes', (m) => (first(m).dims = [-2n]), 'its shape is [-2]'],
    ['absurd sizes', (m) => (first(m).dims = [2n ** 60n]), 'its shape is'],
    ['no type', (m) => (m.graph!.input[0]!.type = undefined), 'it is of kind unknown'],
    ['external data without a file', (m) => external(first(m), { location: 'data' }), 'its data lies in "data"; read the model from its file'],
    ['external data without location', (m) => external(first(m), {}), 'it names no external data file'],
    ['external data outside the folder', (m) => external(first(m), { location: '../secret' }), 'a relative path inside the model'],
    ['absolute external data', (m) => external(first(m), { location: '/etc/passwd' }), 'a relative path inside the model'],
    ['drive letters', (m) => external(first(m), { location: 'C:data' }), 'a relative path inside the model'],
    ['backslashes', (m) => external(first(m), { location: 'a\\..\\..\\b' }), 'a relative path inside the model'],
    ['external offsets', (m) => external(first(m), { location: 'data', offset: '-1' }), 'the offset of its external data is "-1"'],
    ['external lengths', (m) => external(first(m), { location: 'data', length: '9' }), 'it has 9 bytes of external data'],
  ])('refuses %s', (_, edit, message) => {
    expect(change(edit)).toMatch(/^PARE_GRAPH_INVALID/);
    expect(change(edit)).toContain(message);
  });

  it('reads the typed fields of older files, and initializers listed as inputs', () => {
    const model = fromBinary(ModelProtoSchema, encodeOnnx(everything()));
    const graph = model.graph!;
    for (const tensor of graph.initializer) {
      const raw = tensor.rawData;
      const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
      tensor.rawData = new Uint8Array(0);
      const half = (offset: number): number => view.getUint16(offset, true);
      if (tensor.dims[0] === 0n) continue;
      const count = tensor.dims.length === 0 ? 1 : 2;
      const each = <T>(size: number, get: (offset: number) => T): T[] => Array.from({ length: count }, (_, index) => get(index * size));
      if (tensor.dataType === 1) tensor.floatData = each(4, (offset) => view.getFloat32(offset, true));
      else if (tensor.dataType === 11) tensor.doubleData = each(8, (offset) => view.getFloat64(offset, true));
      else if (tensor.dataType === 7) tensor.int64Data = Array.from({ length: raw.byteLength / 8 }, (_, index) => view.getBigInt64(index * 8, true));
      else if (tensor.dataType === 13) tensor.uint64Data = each(8, (offset) => view.getBigUint64(offset, true));
      else if (tensor.dataType === 12) tensor.uint64Data = each(4, (offset) => BigInt(view.getUint32(offset, true)));
      else if (tensor.dataType === 6) tensor.int32Data = each(4, (offset) => view.getInt32(offset, true));
      else if (tensor.dataType === 5) tensor.int32Data = each(2, (offset) => view.getInt16(offset, true));
      else if (tensor.dataType === 4 || tensor.dataType === 10 || tensor.dataType === 16) tensor.int32Data = each(2, half);
      else if (tensor.dataType === 3) tensor.int32Data = each(1, (offset) => view.getInt8(offset));
      else tensor.int32Data = [...raw];
    }
    graph.input.push({ ...graph.input[0]!, name: 'scalar' });
    expect(decodeOnnx(toBinary(ModelProtoSchema, model))).toEqual(everything());
  });
});
