import { readFileSync } from 'node:fs';
import { isPareError } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { inferTypes } from '../infer-types.js';
import { decodeOnnx } from './decode.js';
import { encodeOnnx } from './encode.js';

/* The ONNX project's own single-operator models: decoding, inference against their declared outputs, round trips. */

interface Case {
  readonly name: string;
  readonly operator: string;
  readonly opset: number;
  readonly model: string;
}

const cases = JSON.parse(readFileSync(new URL('../../../conformance/fixtures/onnx-node-tests/index.json', import.meta.url), 'utf8')) as Case[];
const bytesOf = (test: Case): Uint8Array => new Uint8Array(Buffer.from(test.model, 'base64'));

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
