import { float32Tensor, hostTensor, int64Tensor, type AttributeValue, type DType, type GraphNode, type HostTensor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { castTensor } from './elementwise.js';
import { evaluateNode } from './table.js';

/* Forms and corners beyond the ONNX project's node cases, which the conformance suite runs through the reference backend. */

/** Evaluates an operator, `domain::Operator` or plain, with as many outputs as asked for. */
function run(
  operator: string,
  inputs: readonly (HostTensor | undefined)[],
  attributes: Readonly<Record<string, AttributeValue>> = {},
  options: { readonly outputs?: number; readonly opset?: number } = {},
): HostTensor[] {
  const [domain, name] = operator.includes('::') ? (operator.split('::') as [string, string]) : ['', operator];
  const outputs = Array.from({ length: options.outputs ?? 1 }, (_, index) => `y${String(index)}`);
  const node: GraphNode = { operator: name, domain, name: 'node', inputs: inputs.map((_, index) => `x${String(index)}`), outputs, attributes };
  return evaluateNode(node, inputs, { opset: options.opset, graph: 'test' });
}

const floats = (shape: readonly number[], values: readonly number[]): HostTensor => float32Tensor(shape, values);
const ints = (values: readonly number[], shape: readonly number[] = [values.length]): HostTensor => int64Tensor(shape, values);
/** A tensor of any type. */
const of = (dtype: DType, values: readonly number[], shape: readonly number[] = [values.length]): HostTensor =>
  castTensor(hostTensor('float64', shape, Float64Array.from(values)), dtype);
/** The elements as numbers. */
const list = (tensor: HostTensor | undefined): number[] => Array.from(castTensor(tensor!, 'float64').data as Float64Array);

describe('older forms', () => {
  const x = floats([2, 1, 3], [1, 2, 3, 4, 5, 6]);

  it('axes as attributes', () => {
    expect(run('Squeeze', [x], { axes: [1] }, { opset: 11 })[0]!.shape).toEqual([2, 3]);
    expect(run('Unsqueeze', [x], { axes: [0, -1] }, { opset: 11 })[0]!.shape).toEqual([1, 2, 1, 3, 1]);
    expect(list(run('ReduceSum', [x], { axes: [2], keepdims: 0 }, { opset: 11 })[0])).toEqual([6, 15]);
  });

  it('bounds, pads, parts, ranges and counts as attributes', () => {
    expect(list(run('Clip', [x], { min: 2, max: 4 }, { opset: 6 })[0])).toEqual([2, 2, 3, 4, 4, 4]);
    expect(list(run('Pad', [floats([2], [1, 2])], { pads: [1, 0], value: 9, mode: 'constant' }, { opset: 2 })[0])).toEqual([9, 1, 2]);
    expect(run('Split', [x], { axis: 2, split: [1, 2] }, { opset: 11, outputs: 2 }).map((part) => part.shape)).toEqual([
      [2, 1, 1],
      [2, 1, 2],
    ]);
    expect(list(run('Slice', [x], { starts: [1], ends: [3], axes: [2] }, { opset: 9 })[0])).toEqual([2, 3, 5, 6]);
    expect(list(run('TopK', [x], { k: 1, axis: 2 }, { opset: 9, outputs: 2 })[1])).toEqual([2, 2]);
    expect(run('Reshape', [x], { shape: [3, -1] }, { opset: 4 })[0]!.shape).toEqual([3, 2]);
  });

  it('softmax over all axes from the given one on, before opset 13', () => {
    const y = list(run('Softmax', [floats([1, 2, 2], [0, 0, 0, 0])], {}, { opset: 11 })[0]);
    expect(y).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(list(run('Softmax', [floats([1, 2, 2], [0, 0, 0, 0])])[0])).toEqual([0.5, 0.5, 0.5, 0.5]);
  });
});

describe('arithmetic', () => {
  it('wraps integers and truncates quotients', () => {
    expect(list(run('Add', [of('int32', [2147483647]), of('int32', [1])])[0])).toEqual([-2147483648]);
    expect(list(run('Mul', [of('int32', [123456789]), of('int32', [987654321])])[0])).toEqual([-67153019]);
    expect(list(run('Mul', [of('uint32', [4294967295]), of('uint32', [4294967295])])[0])).toEqual([1]);
    expect(list(run('Sub', [of('uint8', [3]), of('uint8', [5])])[0])).toEqual([254]);
    expect(list(run('Div', [ints([-7, 7, 5]), ints([2, -2, 0])])[0])).toEqual([-3, -3, 0]);
    const wide = hostTensor('int64', [1], BigInt64Array.of(2n ** 62n));
    expect(run('Add', [wide, wide])[0]!.data[0]).toBe(-(2n ** 63n));
  });

  it('raises integers to powers modulo their size', () => {
    expect(run('Pow', [ints([3, -1, 2, 7]), ints([40, -3, -1, 0])])[0]!.data).toEqual(BigInt64Array.of(12157665459056928801n - 2n ** 64n, -1n, 0n, 1n));
    expect(list(run('Pow', [of('int32', [3, -2]), of('int32', [21, 31])])[0])).toEqual([1870418611, -2147483648]);
    expect(list(run('Pow', [of('int32', [2]), floats([1], [2.5])])[0])).toEqual([5]);
  });

  it('keeps pow of one and minus one where C does', () => {
    expect(list(run('Pow', [floats([2], [1, -1]), floats([2], [NaN, Infinity])])[0])).toEqual([1, 1]);
  });

  it('rounds 16-bit results to even', () => {
    // 2048 + 1 is a tie between 2048 and 2050 in half precision.
    expect(list(run('Add', [of('float16', [2048, 2050]), of('float16', [1, 1])])[0])).toEqual([2048, 2052]);
    expect(list(run('Add', [of('bfloat16', [256, 258]), of('bfloat16', [1, 1])])[0])).toEqual([256, 260]);
  });

  it('propagates NaN through extremes', () => {
    expect(list(run('Max', [floats([2], [NaN, 1]), floats([2], [1, NaN])])[0])).toEqual([NaN, NaN]);
    expect(list(run('Relu', [floats([2], [NaN, -1])])[0])).toEqual([NaN, 0]);
    expect(list(run('ReduceMax', [floats([3], [1, NaN, 2])])[0])).toEqual([NaN]);
  });

  it('explains what does not fit', () => {
    expect(() => run('Add', [floats([2], [1, 2]), floats([3], [1, 2, 3])])).toThrow('graph "test", node "node" (Add): shapes [2] and [3] do not broadcast');
    expect(() => run('Add', [floats([1], [1]), ints([1])])).toThrow('inputs must have one type, got float32 and int64');
    expect(() => run('Exp', [ints([1])])).toThrow('Exp of int64 is not defined');
    expect(() => run('Mod', [floats([1], [1]), floats([1], [1])])).toThrow('fmod = 1');
    expect(() => run('Clip', [])).toThrow('input 0 is missing');
    expect(() => run('Frobnicate', [])).toThrow(expect.objectContaining({ code: 'PARE_OPERATOR_UNSUPPORTED' }));
    expect(() => run('Cast', [floats([1], [1])], { to: 17 })).toThrow('element type 17');
  });
});

describe('casts', () => {
  it('truncate to integers, round and saturate to 4 bits', () => {
    expect(list(run('Cast', [floats([4], [-1.9, 1.9, 0.5, NaN])], { to: 6 })[0])).toEqual([-1, 1, 0, 0]);
    expect(list(run('Cast', [floats([5], [-9, -2.5, 2.5, 3.5, 99])], { to: 22 })[0])).toEqual([-8, -2, 2, 4, 7]);
    expect(list(run('Cast', [floats([3], [-1, 7.5, 16])], { to: 21 })[0])).toEqual([0, 8, 15]);
    expect(list(run('Cast', [of('int32', [17, -1])], { to: 22 })[0])).toEqual([1, -1]);
  });

  it('keep 64-bit integers exact, and saturate floats beyond them', () => {
    const exact = hostTensor('int64', [1], BigInt64Array.of(9007199254740993n));
    expect(run('Cast', [exact], { to: 13 })[0]!.data).toEqual(BigUint64Array.of(9007199254740993n));
    expect(run('Cast', [floats([3], [Infinity, -Infinity, 3.7])], { to: 7 })[0]!.data).toEqual(BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n), 3n));
    expect(list(run('Cast', [hostTensor('int64', [2], BigInt64Array.of(2n ** 32n, 0n))], { to: 9 })[0])).toEqual([1, 0]);
  });
});

describe('matrix products', () => {
  it('of integers are exact and wrap', () => {
    const big = hostTensor('int64', [1, 2], BigInt64Array.of(2n ** 40n, 3n));
    expect(run('MatMul', [big, hostTensor('int64', [2, 1], BigInt64Array.of(2n ** 30n, 1n))])[0]!.data).toEqual(BigInt64Array.of(3n + 2n ** 70n - 2n ** 70n));
    expect(list(run('MatMul', [of('int32', [65536, 1], [1, 2]), of('int32', [65536, 5], [2, 1])])[0])).toEqual([5]);
  });

  it('sum in float64, so that float32 inputs lose nothing on the way', () => {
    expect(list(run('MatMul', [floats([1, 3], [1e8, 1, -1e8]), floats([3, 1], [1, 1, 1])])[0])).toEqual([1]);
    expect(list(run('Gemm', [floats([1, 3], [1e8, 1, -1e8]), floats([1, 3], [1, 1, 1])], { transB: 1 })[0])).toEqual([1]);
  });

  it('name the sizes that do not fit', () => {
    expect(() => run('MatMul', [floats([1, 2], [1, 2]), floats([3, 1], [1, 2, 3])])).toThrow('[1, 2] times [3, 1]: inner sizes 2 and 3 differ');
    expect(() => run('Gemm', [floats([1, 2], [1, 2]), floats([2, 1], [1, 2]), floats([3], [1, 2, 3])])).toThrow('C [3] does not broadcast to [1, 1]');
  });

  it('move the batch inward with transBatch', () => {
    // A [m = 2, b = 2, k = 1] is read as two matrices [m, k].
    const a = floats([2, 2, 1], [1, 2, 3, 4]);
    const b = floats([2, 1, 1], [10, 100]);
    expect(list(run('com.microsoft::FusedMatMul', [a, b], { transBatchA: 1 })[0])).toEqual([10, 30, 200, 400]);
  });
});

describe('quantization', () => {
  it('saturates where the ONNX cases for int8 wrap', () => {
    const [a, b, y] = [-14, -13, -9].map((zero) => of('int8', [zero]));
    const scale = (value: number) => floats([1], [value]);
    const left = of('int8', [81, 109, -127, 111, -124, 87, -128, -98], [2, 4]);
    const right = of('int8', [25, -76, 117, -67, -101, -128, -127, 0, 119, 0, 127, 120], [4, 3]);
    expect(list(run('QLinearMatMul', [left, scale(0.0066), a, right, scale(0.00705), b, scale(0.0107), y])[0])).toEqual([41, -12, -9, 1, -75, -128]);
  });

  it('rounds ties to even and takes its type from the zero point or the attribute', () => {
    const x = floats([4], [0.5, 1.5, 2.5, -0.5]);
    expect(list(run('QuantizeLinear', [x, floats([], [1])])[0])).toEqual([0, 2, 2, 0]);
    expect(run('QuantizeLinear', [x, floats([], [1])], { output_dtype: 22 })[0]!.dtype).toBe('int4');
    expect(() => run('QuantizeLinear', [x, floats([2], [1, 1])], { axis: 0 })).toThrow('scale [2] must have one element or 4');
  });

  it('MatMulNBits: 4 bits, low nibble first, zero 8 unless packed zero points say otherwise', () => {
    // One row of 16 codes 0 … 15 in one block, scale 0.5; the input picks out single columns.
    const codes = of('uint8', [0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe], [1, 1, 8]);
    const identity = floats(
      [16, 16],
      Array.from({ length: 256 }, (_, index) => (index % 17 === 0 ? 1 : 0)),
    );
    const attributes = { K: 16, N: 1, bits: 4, block_size: 16 };
    const weights = (zeroPoints?: HostTensor): number[] =>
      list(run('com.microsoft::MatMulNBits', [identity, codes, floats([1], [0.5]), zeroPoints], attributes)[0]);
    expect(weights()).toEqual(Array.from({ length: 16 }, (_, code) => (code - 8) * 0.5));
    expect(weights(of('uint8', [0x03]))).toEqual(Array.from({ length: 16 }, (_, code) => (code - 3) * 0.5));
    expect(weights(floats([1], [2.5]))).toEqual(Array.from({ length: 16 }, (_, code) => (code - 2.5) * 0.5));
  });

  it('MatMulNBits: 2 bits, blocks that K ends inside, zero points padded by row, bias', () => {
    // K = 6 in blocks of 4: two blocks a row of one byte each; codes 0 1 2 3 | 3 2.
    const codes = of('uint8', [0b11100100, 0b00001011, 0b11100100, 0b00001011], [2, 2, 1]);
    const a = floats([1, 6], [1, 10, 100, 1000, 10000, 100000]);
    const scales = floats([2, 2], [1, 1, 2, 2]);
    const zeros = of('uint8', [0b0100, 0b0001], [2, 1]);
    const [y] = run('com.microsoft::MatMulNBits', [a, codes, scales, zeros, undefined, floats([2], [0.5, 0])], { K: 6, N: 2, bits: 2, block_size: 4 });
    // Row 0: zeros 0 and 1. Row 1: zeros 1 and 0, scale 2.
    expect(list(y)).toEqual([0 + 10 + 200 + 3000 + 20000 + 100000 + 0.5, 2 * (-1 + 0 + 100 + 2000 + 30000 + 200000)]);
  });

  it('MatMulNBits: 8 bits and a group index', () => {
    const codes = of('uint8', [128, 129, 130, 131], [1, 2, 2]);
    const scales = floats([1, 2], [1, 10]);
    const [y] = run('com.microsoft::MatMulNBits', [floats([1, 4], [1, 1, 1, 1]), codes, scales, undefined, of('int32', [1, 0, 1, 0])], {
      K: 4,
      N: 1,
      bits: 8,
      block_size: 2,
    });
    expect(list(y)).toEqual([0 * 10 + 1 + 2 * 10 + 3]);
  });

  it('GatherBlockQuantized: nibbles in bytes default to zero 8, uint4 to 0', () => {
    const scales = floats([2, 1], [1, 2]);
    const attributes = { block_size: 16, quantize_axis: 1 };
    const bytes = of('uint8', [...new Array<number>(8).fill(0x21), ...new Array<number>(8).fill(0xf0)], [2, 8]);
    const [fromBytes] = run('com.microsoft::GatherBlockQuantized', [bytes, ints([1, 0]), scales], attributes);
    expect(fromBytes!.shape).toEqual([2, 16]);
    expect(list(fromBytes).slice(0, 2)).toEqual([-16, 14]);
    expect(list(fromBytes).slice(16, 18)).toEqual([-7, -6]);
    const nibbles = of('uint4', [...new Array<number>(16).fill(3), ...new Array<number>(16).fill(5)], [2, 16]);
    expect(list(run('com.microsoft::GatherBlockQuantized', [nibbles, ints([-1]), scales], attributes)[0])[0]).toBe(10);
  });
});

describe('indices', () => {
  it('outside an axis are named', () => {
    expect(() => run('Gather', [floats([2], [1, 2]), ints([2])])).toThrow('index 2 is outside an axis of 2');
    expect(() => run('GatherND', [floats([2], [1, 2]), ints([-3], [1, 1])])).toThrow('index -3 is outside an axis of 2');
    expect(() => run('ScatterND', [floats([2], [1, 2]), ints([0], [1, 1]), floats([2], [1, 2])])).toThrow('updates are [2], expected [1]');
  });

  it('move any type, NaN payloads and packed nibbles included', () => {
    const payload = new Float32Array(Uint32Array.of(0x7fc12345, 0x3f800000).buffer);
    const moved = run('Gather', [hostTensor('float32', [2], payload), ints([0])])[0]!;
    expect(new Uint32Array(moved.data.buffer, moved.data.byteOffset, 1)[0]).toBe(0x7fc12345);
    expect(list(run('Transpose', [of('int4', [-8, 7, 1, 2, 3, -1], [2, 3])])[0])).toEqual([-8, 2, 7, 3, 1, -1]);
    expect(list(run('Concat', [of('uint4', [1, 2, 3]), of('uint4', [15])], { axis: 0 })[0])).toEqual([1, 2, 3, 15]);
  });
});

describe('inputs', () => {
  it('are never written to', () => {
    const x = floats([2, 2], [1, 2, 3, 4]);
    const one = floats([1], [1]);
    for (const [operator, inputs] of [
      ['ScatterND', [x, ints([0], [1, 1]), floats([1, 2], [9, 9])]],
      ['CumSum', [x, ints([0], [])]],
      ['Add', [x, one]],
      ['Softmax', [x]],
      ['Identity', [x]],
    ] as const) {
      run(operator, inputs);
    }
    expect(list(x)).toEqual([1, 2, 3, 4]);
    expect(list(one)).toEqual([1]);
  });
});
