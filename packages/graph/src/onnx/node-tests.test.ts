import { readFileSync } from 'node:fs';
import { elementCount, isPareError, viewAs, type DType, type HostTensor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { inferTypes, inferValues } from '../infer-types.js';
import { elementsOf } from '../types/known-elements.js';
import { decodeOnnx } from './decode.js';
import { encodeOnnx } from './encode.js';

/* The ONNX project's own single-operator models: decoding, inference against their declared outputs, round trips. */

interface Case {
  readonly name: string;
  readonly operator: string;
  readonly opset: number;
  readonly model: string;
}

const fixtures = new URL('../../../conformance/fixtures/onnx-node-tests/', import.meta.url);
const cases = JSON.parse(readFileSync(new URL('index.json', fixtures), 'utf8')) as Case[];
const bytesOf = (test: Case): Uint8Array => new Uint8Array(Buffer.from(test.model, 'base64'));

const dtypes: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
};

/** Input and output tensors of the cases: a safetensors file is a length, a JSON header and the data. */
function readData(): Map<string, HostTensor> {
  const file = readFileSync(new URL('data.safetensors', fixtures));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const tensors = new Map<string, HostTensor>();
  for (const [name, { dtype: code, shape, data_offsets: offsets }] of Object.entries(header)) {
    const dtype = dtypes[code];
    if (dtype === undefined) continue;
    const data = viewAs(dtype, file.buffer, file.byteOffset + 8 + headerBytes + offsets[0], elementCount(shape));
    tensors.set(name, { dtype, shape, data });
  }
  return tensors;
}
const data = readData();

/** Models with types that Pare does not compute with. */
const refused = (test: Case): boolean => /FLOAT8|e4m3fn|e5m2|identity_sequence|identity_opt/.test(test.name);

describe('ONNX node test models', () => {
  it.each(cases.filter((test) => !refused(test)))('$name: inferred outputs are the declared ones', (test) => {
    const graph = decodeOnnx(bytesOf(test));
    // Without the declared shapes, so that nothing but inference can supply them.
    const types = inferTypes({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) });
    for (const output of graph.outputs) {
      const inferred = types.get(output.name)!;
      expect(inferred.dtype).toBe(output.dtype);
      const known = inferred.shape?.map((dimension, axis) => (typeof dimension === 'string' && dimension.startsWith('unknown_') ? output.shape![axis] : dimension));
      if (inferred.shape !== undefined) expect(known).toEqual(output.shape);
    }
  });

  it.each(cases.filter((test) => !refused(test)))('$name: constant inputs leave no shape unknown and no element wrong', (test) => {
    const graph = decodeOnnx(bytesOf(test));
    const constants = new Map(graph.initializers);
    for (const [index, input] of graph.inputs.entries()) {
      const tensor = data.get(`${test.name}/input_${String(index)}`);
      // 4-bit and bfloat16 data is stored widened in the fixture; their values decide no shape.
      if (tensor?.dtype === input.dtype) constants.set(input.name, tensor);
    }
    const inputs = graph.inputs.filter((input) => !constants.has(input.name));
    const values = inferValues({ ...graph, inputs, initializers: constants });
    for (const [index, output] of graph.outputs.entries()) {
      const inferred = values.get(output.name)!;
      expect(inferred.shape).toEqual(output.shape);
      const expected = data.get(`${test.name}/output_${String(index)}`);
      if (inferred.value === undefined || expected?.dtype !== output.dtype) continue;
      for (const [position, element] of elementsOf(expected)!.entries()) {
        const known = inferred.value[position];
        if (known !== undefined) expect(known).toBeCloseTo(element as number, 4);
      }
    }
  });

  it.each(cases.filter((test) => !refused(test)))('$name: encoding and decoding keep the graph', (test) => {
    const graph = decodeOnnx(bytesOf(test));
    expect(decodeOnnx(encodeOnnx(graph))).toEqual(graph);
  });

  it.each(cases.filter(refused))('$name: refused by name of the type', (test) => {
    let error: unknown;
    try {
      decodeOnnx(bytesOf(test));
    } catch (thrown) {
      error = thrown;
    }
    expect(isPareError(error) && error.message).toMatch(/float8|of kind (sequence|optional)/);
  });
});
