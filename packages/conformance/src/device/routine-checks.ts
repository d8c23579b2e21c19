import { createRandom, type GraphNode, type HostTensor } from '@pare/core';
import type { AttentionRequest, MatMulRequest, Program, ProgramRunner, QuantizedMatMulRequest, TopKRequest } from '@pare/executor';
import { evaluateNode } from '@pare/operators';
import { expect } from 'vitest';
import { relativeError } from './relative-error.js';
import { runProgram } from './run-program.js';

/* Single checks of hand-written kernels, float32, against their formulas and the reference operators. What is checked is given as a function of the request, so that a backend can try variants and limits of its own. */

type MakeProgram<R> = (request: R) => Program;

/** Numbers in (−size, size) around 0, the same for a seed. */
export function randomFloats(count: number, seed: number, size = 1): Float32Array {
  const next = createRandom(seed);
  return Float32Array.from({ length: count }, () => size * (next() + next() - 1));
}

/** Outputs of an operator by the reference. */
export function evaluateOperator(operator: string, attributes: GraphNode['attributes'], inputs: readonly (HostTensor | undefined)[], outputs = 1, domain = ''): HostTensor[] {
  const names = Array.from({ length: outputs }, (_, index) => `y${String(index)}`);
  return evaluateNode({ name: operator, operator, domain, inputs: inputs.map((input, index) => (input === undefined ? '' : `x${String(index)}`)), outputs: names, attributes }, inputs);
}

/** Activations of products in float64. */
export const activations: Readonly<Record<NonNullable<MatMulRequest['activation']>, (x: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  // Φ by Simpson's rule: independent of any formula that kernels use.
  gelu: (x) => {
    let sum = 0;
    for (let i = 0; i <= 400; i++) sum += Math.exp(-((x * (i / 400)) ** 2) / 2) * (i === 0 || i === 400 ? 1 : i % 2 === 1 ? 4 : 2);
    return x * (0.5 + ((x / 1200) * sum) / Math.sqrt(2 * Math.PI));
  },
  'gelu-tanh': (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** A product of whole matrices, but for what is given. */
export function matMulRequest(changes: Partial<MatMulRequest>): MatMulRequest {
  const { m = 1, n = 1, k = 1, batch = 1 } = changes;
  return { m, n, k, batch, aBatchStride: m * k, bBatchStride: k * n, transposeA: false, transposeB: false, alpha: 1, ...changes };
}

/** activation(alpha · op(a)·op(b) + beta · c) in float64. */
function multiplied(r: MatMulRequest, a: ArrayLike<number>, b: ArrayLike<number>, c: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: r.batch * r.m * r.n }, (_, index) => {
    const [p, i, j] = [Math.floor(index / (r.m * r.n)), Math.floor(index / r.n) % r.m, index % r.n];
    let sum = 0;
    for (let l = 0; l < r.k; l++) sum += a[p * r.aBatchStride + (r.transposeA ? l * r.m + i : i * r.k + l)]! * b[p * r.bBatchStride + (r.transposeB ? j * r.k + l : l * r.n + j)]!;
    const { beta = 0, rowStride = 0, columnStride = 0, batchStride = 0 } = r.addend ?? {};
    const value = r.alpha * sum + beta * (r.addend === undefined ? 0 : c[p * batchStride + i * rowStride + j * columnStride]!);
    return r.activation === undefined ? value : activations[r.activation](value);
  });
}

/** Elements that positions with strides reach, `inner` of them at each. */
function extent(sizes: readonly number[], strides: readonly number[], inner: number): number {
  return sizes.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, inner);
}

/** A product of random matrices equals its formula in float64. */
export async function checkMatMul(runner: ProgramRunner, program: MakeProgram<MatMulRequest>, changes: Partial<MatMulRequest>): Promise<void> {
  const r = matMulRequest(changes);
  const a = randomFloats((r.batch - 1) * r.aBatchStride + r.m * r.k, 1);
  const b = randomFloats((r.batch - 1) * r.bBatchStride + r.k * r.n, 2);
  const c = randomFloats(r.addend === undefined ? 1 : extent([r.batch, r.m, r.n], [r.addend.batchStride, r.addend.rowStride, r.addend.columnStride], 1), 3);
  const y = new Float32Array(r.batch * r.m * r.n).fill(NaN);
  await runProgram(runner, program(r), { a, b, c, y });
  // Rounding of a sum of k terms grows as its root; inputs are of size 0.4.
  expect(relativeError(y, multiplied(r, a, b, c))).toBeLessThan(2e-6 + 1e-7 * Math.sqrt(r.k));
}

/** Activations of a product stay what they tend to, far out. */
export async function checkFarActivation(runner: ProgramRunner, program: MakeProgram<MatMulRequest>, activation: NonNullable<MatMulRequest['activation']>): Promise<void> {
  const x = Float32Array.of(-1e4, -90, -20, 0, 20, 90, 1e4, 3);
  const y = new Float32Array(8);
  await runProgram(runner, program(matMulRequest({ n: 8, activation })), { a: Float32Array.of(1), b: x, y });
  expect(relativeError(y, x.map((value) => (value < -10 ? 0 : value > 10 ? value : activations[activation](value))))).toBeLessThan(1e-6);
}

/** A product with packed codes equals the operator MatMulNBits. */
export async function checkQuantizedMatMul(runner: ProgramRunner, program: MakeProgram<QuantizedMatMulRequest>, request: QuantizedMatMulRequest): Promise<void> {
  const { m, n, k, bits, blockSize } = request;
  const next = createRandom(m + n + k);
  const floats = (count: number): Float32Array => Float32Array.from({ length: count }, () => next() + next() - 1);
  // Buffers are read word by word.
  const bytes = (count: number): Uint8Array => Uint8Array.from({ length: Math.ceil(count / 4) * 4 }, () => Math.floor(next() * 256)).subarray(0, count);
  const blocks = Math.ceil(k / blockSize);
  const blobBytes = (blockSize * bits) / 8;
  const [x, codes, scales, zeros, bias] = [floats(m * k), bytes(n * blocks * blobBytes), floats(n * blocks), bytes(n * Math.ceil((blocks * bits) / 8)), floats(n)];
  const y = new Float32Array(m * n).fill(NaN);
  const whole = (part: Uint8Array): Uint8Array => new Uint8Array(part.buffer);
  await runProgram(runner, program(request), { x, codes: whole(codes), scales, zeros: whole(zeros), bias, y });
  const [expected] = evaluateOperator(
    'MatMulNBits',
    { K: k, N: n, bits, block_size: blockSize, accuracy_level: 0 },
    [
      { dtype: 'float32', shape: [m, k], data: x },
      { dtype: 'uint8', shape: [n, blocks, blobBytes], data: codes },
      { dtype: 'float32', shape: [n * blocks], data: scales },
      request.zeros ? { dtype: 'uint8', shape: [zeros.length], data: zeros } : undefined,
      undefined,
      request.bias ? { dtype: 'float32', shape: [n], data: bias } : undefined,
    ],
    1,
    'com.microsoft',
  );
  expect(relativeError(y, expected!.data as Float32Array)).toBeLessThan(3e-6);
}

/** Attention with heads beside each other, as projections leave them, but for what is given. */
export function attentionRequest(changes: Partial<AttentionRequest>): AttentionRequest {
  const { batch = 1, heads = 2, keyHeads = heads, queries = 5, keys = queries, headSize = 8, valueSize = headSize } = changes;
  return {
    ...{ batch, heads, keyHeads, queries, keys, headSize, valueSize, scale: 1.5, cap: 0, causal: false },
    qStrides: [queries * heads * headSize, headSize, heads * headSize],
    kStrides: [keys * keyHeads * headSize, headSize, keyHeads * headSize],
    vStrides: [keys * keyHeads * valueSize, valueSize, keyHeads * valueSize],
    yStrides: [queries * heads * valueSize, valueSize, heads * valueSize],
    ...changes,
  };
}

/** softmax(scale · q·kᵀ, capped, + mask) · v in float64. */
function attended(r: AttentionRequest, q: Float32Array, k: Float32Array, v: Float32Array, mask: Float32Array, size: number): Float64Array {
  const y = new Float64Array(size);
  const at = (strides: readonly number[], ...index: number[]): number => index.reduce((sum, value, axis) => sum + value * strides[axis]!, 0);
  for (let row = 0; row < r.batch * r.heads * r.queries; row++) {
    const [b, h, i] = [Math.floor(row / (r.heads * r.queries)), Math.floor(row / r.queries) % r.heads, row % r.queries] as const;
    const keyHead = Math.floor((h * r.keyHeads) / r.heads);
    const scores = Array.from({ length: r.keys }, (_, j) => {
      if (r.causal && j > r.keys - r.queries + i) return -Infinity;
      let dot = 0;
      for (let d = 0; d < r.headSize; d++) dot += q[at(r.qStrides, b, h, i) + d]! * k[at(r.kStrides, b, keyHead, j) + d]!;
      const score = r.cap > 0 ? r.cap * Math.tanh((dot * r.scale) / r.cap) : dot * r.scale;
      return score + (r.mask === undefined ? 0 : mask[at(r.mask, b, h, i, j)]!);
    });
    const maximum = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - maximum));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    for (let d = 0; d < r.valueSize; d++) y[at(r.yStrides, b, h, i) + d] = weights.reduce((total, weight, j) => (weight > 0 ? total + (weight / sum) * v[at(r.vStrides, b, keyHead, j) + d]! : total), 0);
  }
  return y;
}

/**
 * Attention over random queries, keys and values equals its formula in float64. Returns what was computed.
 * @param fill changes the random mask
 */
export async function checkAttention(
  runner: ProgramRunner,
  program: MakeProgram<AttentionRequest>,
  changes: Partial<AttentionRequest>,
  fill: (mask: Float32Array) => void = () => undefined,
  tolerance = 3e-6,
): Promise<Float32Array> {
  const r = attentionRequest(changes);
  const q = randomFloats(extent([r.batch, r.heads, r.queries], r.qStrides, r.headSize), 1);
  const k = randomFloats(extent([r.batch, r.keyHeads, r.keys], r.kStrides, r.headSize), 2);
  const v = randomFloats(extent([r.batch, r.keyHeads, r.keys], r.vStrides, r.valueSize), 3);
  const mask = randomFloats(r.mask === undefined ? 1 : extent([r.batch, r.heads, r.queries, r.keys], r.mask, 1), 4);
  fill(mask);
  const y = new Float32Array(extent([r.batch, r.heads, r.queries], r.yStrides, r.valueSize));
  await runProgram(runner, program(r), { q, k, v, mask, y });
  expect(relativeError(y, attended(r, q, k, v, mask, y.length))).toBeLessThan(tolerance);
  return y;
}

/** The k largest or smallest of every row are those of the operator TopK, ties in its order. */
export async function checkTopK(runner: ProgramRunner, program: MakeProgram<TopKRequest>, shape: Omit<TopKRequest, 'type'>, x: Float32Array | Int32Array | Uint32Array): Promise<void> {
  const { rows, columns, k, largest } = shape;
  const type: TopKRequest['type'] = x instanceof Float32Array ? 'float32' : x instanceof Int32Array ? 'int32' : 'uint32';
  const values = new (x.constructor as new (length: number) => typeof x)(rows * k);
  const indices = new Int32Array(rows * k).fill(-1);
  await runProgram(runner, program({ ...shape, type }), { x, values, indices });
  const expected = evaluateOperator('TopK', { largest: Number(largest) }, [{ dtype: type, shape: [rows, columns], data: x }, { dtype: 'int64', shape: [1], data: BigInt64Array.of(BigInt(k)) }], 2);
  expect(Array.from(indices)).toEqual(Array.from(expected[1]!.data as BigInt64Array, Number));
  expect(values).toEqual(expected[0]!.data);
}
