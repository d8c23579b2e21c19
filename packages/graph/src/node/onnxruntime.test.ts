import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { float32Tensor, hostTensor, int64Tensor, type Dimension, type Graph } from '@pare/core';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { GraphBuilder, type Value } from '../builder.js';
import { evaluateDimension } from '../types/dimension.js';
import { decodeOnnx } from '../onnx/decode.js';
import { encodeOnnx } from '../onnx/encode.js';
import { writeOnnxFile } from './write-onnx-file.js';

/* A reader that shares no code with ours: files open in onnxruntime, and what it computes has the shapes we infer. */

interface Case {
  readonly name: string;
  readonly model: string;
}

const quiet: InferenceSession.SessionOptions = { logSeverityLevel: 4, intraOpNumThreads: 1 };
const opens = async (bytes: Uint8Array): Promise<string> =>
  InferenceSession.create(bytes, quiet).then(
    async (session) => {
      const text = JSON.stringify([session.inputMetadata, session.outputMetadata]);
      await session.release();
      return text;
    },
    (error: unknown) => `refused: ${String(error).replace(/.*(NOT_IMPLEMENTED|Could not find an implementation).*/s, '$1')}`,
  );

describe('onnxruntime', () => {
  it('reads re-encoded node test models as it reads the originals', async () => {
    const cases = JSON.parse(readFileSync(new URL('../../../conformance/fixtures/onnx-node-tests/index.json', import.meta.url), 'utf8')) as Case[];
    let opened = 0;
    for (const test of cases) {
      if (/FLOAT8|e4m3fn|e5m2|identity_sequence|identity_opt/.test(test.name)) continue;
      const original = new Uint8Array(Buffer.from(test.model, 'base64'));
      const expected = await opens(original);
      const ours = await opens(encodeOnnx(decodeOnnx(original)));
      expect([test.name, ours]).toEqual([test.name, expected]);
      if (!expected.startsWith('refused')) opened++;
    }
    expect(opened).toBeGreaterThan(500);
  });

  it('reads a file with external data', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pare-graph-'));
    try {
      const b = new GraphBuilder('external');
      const x = b.input('x', 'float32', ['n', 512]);
      const weight = float32Tensor([512, 512], Float32Array.from({ length: 512 * 512 }, (_, index) => (index % 513 === 0 ? 2 : 0)));
      b.output(b.add(b.matmul(x, b.initializer('weight', weight)), b.initializer('bias', float32Tensor([512], new Float32Array(512).fill(1)))), 'y');
      const [model] = await writeOnnxFile(b.build(), join(folder, 'model.onnx'), { externalData: { fileName: 'model.onnx_data' } });
      const session = await InferenceSession.create(model!.path, quiet);
      const result = await session.run({ x: new Tensor('float32', new Float32Array(512).fill(3), [1, 512]) });
      expect([...(result['y']!.data as Float32Array)]).toEqual(new Array<number>(512).fill(7));
      await session.release();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

/** Runs a graph on zeros (ones for integer inputs) with the symbols bound and compares result shapes with the declared ones. */
async function compareShapes(graph: Graph, sizes: Record<string, number>, given: Record<string, Tensor> = {}): Promise<void> {
  const session = await InferenceSession.create(encodeOnnx(graph), quiet);
  const bind = (shape: readonly Dimension[]): number[] => shape.map((dimension) => evaluateDimension(dimension, sizes)!);
  const feeds: Record<string, Tensor> = {};
  for (const input of graph.inputs) {
    const shape = bind(input.shape!);
    const count = shape.reduce((product, size) => product * size, 1);
    feeds[input.name] =
      given[input.name] ??
      (input.dtype === 'int64'
        ? new Tensor('int64', new BigInt64Array(count).fill(1n), shape)
        : input.dtype === 'int32'
          ? new Tensor('int32', new Int32Array(count).fill(1), shape)
          : new Tensor('float32', new Float32Array(count).fill(0.5), shape));
  }
  const results = await session.run(feeds);
  for (const output of graph.outputs) expect([output.name, results[output.name]!.dims]).toEqual([output.name, bind(output.shape!)]);
  await session.release();
}

describe('shapes of com.microsoft operators are those onnxruntime computes', () => {
  const domain = 'com.microsoft';
  const cases: [string, (b: GraphBuilder) => void, Record<string, number>, Record<string, Tensor>?][] = [
    [
      'MatMulNBits',
      (b) => {
        const x = b.input('x', 'float32', ['batch', 's', 40]);
        const data = b.constant(hostTensor('uint8', [6, 2, 16]));
        b.output(b.op('MatMulNBits', [x, data, b.constant(float32Tensor([6, 2]))], { K: 40, N: 6, bits: 4, block_size: 32 }, { domain }), 'plain');
        const zeros = b.constant(hostTensor('uint8', [6, 1]));
        b.output(b.op('MatMulNBits', [x, data, b.constant(float32Tensor([12])), zeros], { K: 40, N: 6, bits: 4, block_size: 32 }, { domain }), 'flat');
        b.output(b.op('MatMulNBits', [x, b.constant(hostTensor('uint8', [6, 2, 32])), b.constant(float32Tensor([6, 2]))], { K: 40, N: 6, bits: 8, block_size: 32 }, { domain }), 'eight');
      },
      { batch: 2, s: 3 },
    ],
    [
      'GatherBlockQuantized',
      (b) => {
        const ids = b.input('ids', 'int64', ['batch', 's']);
        const packed = b.constant(hostTensor('uint8', [8, 32]));
        b.output(b.op('GatherBlockQuantized', [packed, ids, b.constant(float32Tensor([8, 2]))], { bits: 4, block_size: 32, quantize_axis: 1 }, { domain }), 'packed');
        b.output(b.op('GatherBlockQuantized', [b.constant(hostTensor('uint4', [8, 64])), ids, b.constant(float32Tensor([8, 4]))], { block_size: 16 }, { domain }), 'nibbles');
      },
      { batch: 2, s: 3 },
    ],
    [
      'GroupQueryAttention',
      (b) => {
        const width = (heads: number): Value => b.input(`h${String(heads)}`, 'float32', ['batch', 's', heads * 16]);
        const past = (name: string): Value => b.input(name, 'float32', ['batch', 2, 'p', 16]);
        const lengths = b.cast(b.sub(b.reduceSum(b.input('mask', 'int64', ['batch', 'p + s']), [1]), 1), 'int32');
        const total = b.cast(b.squeeze(b.shapeOf(b.value('mask')!, 1, 2), [0]), 'int32');
        const tables = [b.constant(float32Tensor([32, 8])), b.constant(float32Tensor([32, 8]))];
        const [query, key] = [width(4), width(2)];
        const inputs = [query, key, key, past('past_key'), past('past_value'), lengths, total, ...tables];
        b.node('GroupQueryAttention', inputs, { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, { domain, outputs: 3 }).forEach((output, index) => b.output(output, `out_${String(index)}`));
        const packed = [width(8), undefined, undefined, b.value('past_key'), b.value('past_value'), lengths, total, ...tables];
        b.node('GroupQueryAttention', packed, { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, { domain, outputs: 3 }).forEach((output, index) => b.output(output, `packed_${String(index)}`));
      },
      { batch: 1, s: 3, p: 5 },
    ],
    [
      'MultiHeadAttention',
      (b) => {
        const query = b.input('q', 'float32', ['batch', 's', 64]);
        const key = b.input('k', 'float32', ['batch', 't', 64]);
        const value = b.input('v', 'float32', ['batch', 't', 64]);
        b.output(b.op('MultiHeadAttention', [query, key, value], { num_heads: 4 }, { domain }), 'cross');
        const own = b.input('own', 'float32', ['batch', 's', 64]);
        const past = [b.input('pk', 'float32', ['batch', 4, 'p', 16]), b.input('pv', 'float32', ['batch', 4, 'p', 16])];
        b.node('MultiHeadAttention', [query, own, own, undefined, undefined, undefined, ...past], { num_heads: 4, unidirectional: 1 }, { domain, outputs: 3 }).forEach((output, index) =>
          b.output(output, `cached_${String(index)}`),
        );
      },
      { batch: 2, s: 3, t: 5, p: 4 },
    ],
    [
      'FusedMatMul',
      (b) => {
        const x = b.input('x', 'float32', ['batch', 'k', 'm']);
        const y = b.input('y', 'float32', ['batch', 'n', 'k']);
        b.output(b.op('FusedMatMul', [x, y], { transA: 1, transB: 1, alpha: 0.5 }, { domain }), 'z');
      },
      { batch: 2, k: 3, m: 4, n: 5 },
    ],
    [
      'RotaryEmbedding',
      (b) => {
        const x = b.input('x', 'float32', ['batch', 4, 's', 16]);
        const ids = b.input('ids', 'int64', ['batch', 's']);
        b.output(b.op('RotaryEmbedding', [x, ids, b.constant(float32Tensor([32, 8])), b.constant(float32Tensor([32, 8]))], {}, { domain }), 'y');
      },
      { batch: 2, s: 3 },
    ],
    [
      'norms and activations',
      (b) => {
        const x = b.input('x', 'float32', ['batch', 's', 16]);
        b.output(b.op('SimplifiedLayerNormalization', [x, b.constant(float32Tensor([16]))], { epsilon: 1e-6 }), 'rms');
        b.output(b.op('Gelu', [x], {}, { domain }), 'gelu');
        b.output(b.op('FastGelu', [x, b.constant(float32Tensor([16]))], {}, { domain }), 'fast');
        b.output(b.op('QuickGelu', [x], {}, { domain }), 'quick');
      },
      { batch: 2, s: 3 },
    ],
    [
      'windows over symbolic sizes',
      (b) => {
        const x = b.input('x', 'float32', ['n', 3, 'h', 'w']);
        const kernel = b.constant(float32Tensor([6, 3, 3, 2]));
        b.output(b.op('Conv', [x, kernel], { strides: [2, 3], pads: [1, 0, 0, 1], dilations: [1, 2] }), 'conv');
        b.output(b.op('Conv', [x, kernel], { strides: [2, 3], auto_pad: 'SAME_LOWER' }), 'same');
        b.output(b.op('MaxPool', [x], { kernel_shape: [2, 3], strides: [2, 2] }), 'pool');
      },
      { n: 2, h: 9, w: 12 },
    ],
    [
      'slices, ranges and tiles of symbolic sizes',
      (b) => {
        const x = b.input('x', 'float32', ['n', 's']);
        b.output(b.slice(x, 1, -2), 'last');
        b.output(b.slice(x, 1, 1), 'rest');
        b.output(b.slice(x, 1, 0, 3), 'first');
        b.output(b.slice(x, 1, 1, -1), 'inner');
        const length = b.squeeze(b.shapeOf(x, 1, 2), [0]);
        b.output(b.op('Range', [b.constant(int64Tensor([], [1])), length, b.constant(int64Tensor([], [2]))]), 'odd');
        b.output(b.op('Tile', [x, b.int64([2, 3])]), 'tiled');
        b.node('Split', [x], { axis: 1, num_outputs: 3 }, { outputs: 3 }).forEach((part, index) => b.output(part, `part_${String(index)}`));
      },
      { n: 2, s: 8 },
    ],
  ];

  it.each(cases)('%s', async (name, build, sizes, given) => {
    const b = new GraphBuilder(name);
    build(b);
    await compareShapes(b.build(), sizes, given);
  });
});
