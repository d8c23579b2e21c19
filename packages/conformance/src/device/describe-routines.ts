import { createRandom, type GraphNode, type HostTensor } from '@pare/core';
import type { AttentionRequest, DeviceTraits, MatMulRequest, ProgramRunner, QuantizedMatMulRequest, RoutineTable } from '@pare/executor';
import { evaluateNode } from '@pare/operators';
import { describe, expect, it } from 'vitest';
import { relativeError } from './relative-error.js';
import { runProgram, type TestArray } from './run-program.js';

export interface RoutineConformanceOptions {
  readonly routines: RoutineTable;
  readonly runner: ProgramRunner;
  /** What routines are told of the device: the runner's traits, or tighter ones. */
  readonly traits?: DeviceTraits | undefined;
}

function random(count: number, seed: number, size = 1): Float32Array {
  const next = createRandom(seed);
  return Float32Array.from({ length: count }, () => size * (next() + next() - 1));
}

function evaluate(operator: string, attributes: GraphNode['attributes'], inputs: readonly HostTensor[], outputs: number): HostTensor[] {
  const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${String(index)}`);
  return evaluateNode({ name: operator, operator, domain: '', inputs: names('x', inputs.length), outputs: names('y', outputs), attributes }, inputs);
}

const float32 = (shape: readonly number[], data: Float32Array): HostTensor => ({ dtype: 'float32', shape, data });

const activations: Readonly<Record<NonNullable<MatMulRequest['activation']>, (x: number) => number>> = {
  relu: (x) => Math.max(x, 0),
  // Φ by the trapezoidal rule: independent of any formula that kernels use.
  gelu: (x) => {
    let sum = 0;
    for (let step = 0; step < 2000; step++) sum += Math.exp(-((x * ((step + 0.5) / 2000)) ** 2) / 2);
    return x * (0.5 + ((x / 2000) * sum) / Math.sqrt(2 * Math.PI));
  },
  'gelu-tanh': (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x / (1 + Math.exp(-x)),
};

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

const extent = (sizes: readonly number[], strides: readonly number[], inner: number): number => sizes.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, inner);

/** Checks a device's hand-written kernels, float32, against their formulas and the reference operators. */
export function describeRoutines(name: string, { routines, runner, traits = runner.traits }: RoutineConformanceOptions): void {
  describe(`${name} routines`, () => {
    const orders = [false, true].flatMap((transposeA) => [false, true].map((transposeB) => ({ transposeA, transposeB })));
    const shapes = [[1, 1, 1], [1, 7, 1025], [3, 33, 77], [16, 16, 16], [33, 100, 9], [200, 3, 2], [70, 130, 300]] as const;
    const addends = {
      'a row': { rowStride: 0, columnStride: 1, batchStride: 0 },
      'a column': { rowStride: 1, columnStride: 0, batchStride: 0 },
      'one value': { rowStride: 0, columnStride: 0, batchStride: 0 },
      'a matrix': { rowStride: 24, columnStride: 1, batchStride: 0 },
      matrices: { rowStride: 24, columnStride: 1, batchStride: 576 },
      'a transposed matrix': { rowStride: 1, columnStride: 24, batchStride: 600 },
    };

    const multiply = async (changes: Partial<MatMulRequest>): Promise<void> => {
      const { m = 1, n = 1, k = 1, batch = 1 } = changes;
      const r: MatMulRequest = { m, n, k, batch, aBatchStride: m * k, bBatchStride: k * n, transposeA: false, transposeB: false, alpha: 1, ...changes };
      const a = random((batch - 1) * r.aBatchStride + m * k, 1);
      const b = random((batch - 1) * r.bBatchStride + k * n, 2);
      const c = random(r.addend === undefined ? 1 : extent([batch, m, n], [r.addend.batchStride, r.addend.rowStride, r.addend.columnStride], 1), 3);
      const y = new Float32Array(batch * m * n).fill(NaN);
      await runProgram(runner, routines.matMul(r, traits), { a, b, c, y });
      // Rounding of a sum of k terms grows as its root; inputs are of size 0.4.
      expect(relativeError(y, multiplied(r, a, b, c))).toBeLessThan(2e-6 + 1e-7 * Math.sqrt(k));
    };

    describe.each(orders)('products, transposeA $transposeA, transposeB $transposeB', (order) => {
      it.each(shapes)('%i × %i over %i', (m, n, k) => multiply({ m, n, k, ...order }));
      it('take batches by their strides', async () => {
        await multiply({ m: 20, n: 24, k: 12, batch: 3, ...order });
        await multiply({ m: 5, n: 9, k: 12, batch: 3, aBatchStride: 0, ...order });
        await multiply({ m: 19, n: 9, k: 13, batch: 4, bBatchStride: 0, ...order });
        await multiply({ m: 18, n: 20, k: 8, batch: 2, aBatchStride: 151, bBatchStride: 163, ...order });
      });
    });

    it.each(Object.keys(addends) as (keyof typeof addends)[])('add %s to products', async (kind) => {
      for (const beta of [1, -1.5]) {
        for (const shape of [{ m: 20, n: 21, k: 8, batch: 2 }, { m: 3, n: 24, k: 8, batch: 2 }, { m: 20, n: 24, k: 0, batch: 2 }, { m: 24, n: 20, k: 1200 }]) {
          await multiply({ ...shape, alpha: 0.5, addend: { beta, ...addends[kind] } });
        }
      }
    });

    it.each(Object.keys(activations) as (keyof typeof activations)[])('apply %s to products', async (activation) => {
      await multiply({ m: 20, n: 21, k: 8, batch: 2, activation, alpha: 4 });
      await multiply({ m: 20, n: 24, k: 8, activation, alpha: 4, addend: { beta: 3, rowStride: 0, columnStride: 1, batchStride: 0 } });
      const x = Float32Array.of(-1e4, -90, -20, 0, 20, 90, 1e4, 3);
      const y = new Float32Array(8);
      const far: MatMulRequest = { m: 1, n: 8, k: 1, batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: false, transposeB: false, alpha: 1, activation };
      await runProgram(runner, routines.matMul(far, traits), { a: Float32Array.of(1), b: x, y });
      expect(relativeError(y, x.map((value) => (value < -10 ? 0 : value > 10 ? value : activations[activation](value))))).toBeLessThan(1e-6);
    });

    const { quantizedMatMul, softmax, normalization, attention, topK } = routines;
    if (quantizedMatMul !== undefined) {
      it.each([4, 8] as const)('multiply by packed codes of %i bits', async (bits) => {
        for (const [m, n, k, blockSize, zeros, bias] of [[1, 37, 160, 32, true, true], [3, 18, 77, 16, false, true], [33, 35, 100, 32, true, false], [8, 12, 300, 128, false, false], [2, 3, 0, 16, true, true]] as const) {
          const r: QuantizedMatMulRequest = { m, n, k, bits, blockSize, zeros, bias };
          const count = Math.ceil(k / blockSize);
          const next = createRandom(5);
          const bytes = (length: number): Uint8Array => Uint8Array.from({ length: Math.ceil(length / 4) * 4 }, () => Math.floor(next() * 256));
          const [rowBytes, zeroRow] = [(count * blockSize * bits) / 8, Math.ceil((count * bits) / 8)];
          const arrays = { x: random(m * k, 1), codes: bytes(n * rowBytes), scales: random(n * count, 2), zeros: bytes(n * zeroRow), bias: random(n, 3) };
          const field = (data: Uint8Array, row: number, index: number): number => (bits === 8 ? data[row + index]! : (data[row + (index >> 1)]! >> ((index & 1) * 4)) & 15);
          const weight = Float64Array.from({ length: n * k }, (_, index) => {
            const [line, position] = [Math.floor(index / k), index % k];
            const block = Math.floor(position / blockSize);
            return arrays.scales[line * count + block]! * (field(arrays.codes, line * rowBytes, position) - (zeros ? field(arrays.zeros, line * zeroRow, block) : 1 << (bits - 1)));
          });
          const plain: MatMulRequest = { m, n, k, batch: 1, aBatchStride: 0, bBatchStride: 0, transposeA: false, transposeB: true, alpha: 1, addend: bias ? { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 } : undefined };
          const y = new Float32Array(m * n).fill(NaN);
          const used: Record<string, TestArray> = { ...arrays, y };
          await runProgram(runner, quantizedMatMul(r, traits), used);
          expect(relativeError(y, multiplied(plain, arrays.x, weight, arrays.bias))).toBeLessThan(3e-6);
        }
      });
    }

    const rows = [[1, 1], [3, 2], [5, 17], [64, 33], [1, 257], [7, 1300], [3, 4097], [6000, 3]] as const;
    if (softmax !== undefined) {
      it.each(rows)('take the softmax of [%i, %i]', async (count, columns) => {
        const x = random(count * columns, 5, 8);
        if (columns > 16) for (let index = 0; index < x.length; index += 3) x[index] = -Infinity;
        for (const logarithm of [false, true]) {
          const y = new Float32Array(x.length).fill(7);
          await runProgram(runner, softmax({ rows: count, columns, logarithm }, traits), { x, y });
          const [expected] = evaluate(logarithm ? 'LogSoftmax' : 'Softmax', {}, [float32([count, columns], x)], 1);
          expect(relativeError(y, expected!.data as Float32Array)).toBeLessThan(2e-6);
        }
      });
    }

    if (normalization !== undefined) {
      it.each(rows)('normalise [%i, %i]', async (count, columns) => {
        const [x, scale, bias] = [random(count * columns, 5, 8).map((value) => value + 3), random(columns, 11), random(columns, 12)];
        const shape = [count, columns];
        for (const kind of ['layer', 'rms'] as const) {
          const [y, mean, inverse] = [new Float32Array(x.length), new Float32Array(count), new Float32Array(count)];
          const layer = kind === 'layer';
          await runProgram(runner, normalization({ rows: count, columns, epsilon: 1e-3, kind, scale: true, bias: layer, mean: layer, inverse: true }, traits), { x, y, scale, bias, mean, inverse });
          const inputs = [float32(shape, x), float32([columns], scale), ...(layer ? [float32([columns], bias)] : [])];
          const expected = evaluate(layer ? 'LayerNormalization' : 'SimplifiedLayerNormalization', { epsilon: Math.fround(1e-3) }, inputs, layer ? 3 : 2);
          expect(relativeError(y, expected[0]!.data as Float32Array)).toBeLessThan(5e-6);
          expect(relativeError(inverse, expected.at(-1)!.data as Float32Array)).toBeLessThan(5e-6);
          if (layer) expect(relativeError(mean, expected[1]!.data as Float32Array)).toBeLessThan(3e-6);
        }
      });
    }

    if (attention !== undefined) {
      const attend = async (changes: Partial<AttentionRequest>, fill: (mask: Float32Array) => void = () => undefined): Promise<Float32Array> => {
        const { batch = 1, heads = 2, keyHeads = heads, queries = 5, keys = queries, headSize = 8, valueSize = headSize } = changes;
        const r: AttentionRequest = {
          ...{ batch, heads, keyHeads, queries, keys, headSize, valueSize, scale: 1.5, cap: 0, causal: false },
          qStrides: [queries * heads * headSize, headSize, heads * headSize],
          kStrides: [keys * keyHeads * headSize, headSize, keyHeads * headSize],
          vStrides: [keys * keyHeads * valueSize, valueSize, keyHeads * valueSize],
          yStrides: [queries * heads * valueSize, valueSize, heads * valueSize],
          ...changes,
        };
        const q = random(extent([batch, heads, queries], r.qStrides, headSize), 1);
        const k = random(extent([batch, keyHeads, keys], r.kStrides, headSize), 2);
        const v = random(extent([batch, keyHeads, keys], r.vStrides, valueSize), 3);
        const mask = random(r.mask === undefined ? 1 : extent([batch, heads, queries, keys], r.mask, 1), 4);
        fill(mask);
        const y = new Float32Array(extent([batch, heads, queries], r.yStrides, valueSize));
        await runProgram(runner, attention(r, traits), { q, k, v, mask, y });
        expect(relativeError(y, attended(r, q, k, v, mask, y.length))).toBeLessThan(3e-6);
        return y;
      };

      it.each([
        { queries: 1, keys: 1, headSize: 1 },
        { queries: 1, keys: 70, headSize: 16 },
        { queries: 5, keys: 5, headSize: 33 },
        { queries: 33, keys: 65, headSize: 17, valueSize: 12 },
        { queries: 140, keys: 150, headSize: 64 },
        { queries: 3, keys: 9, headSize: 128 },
        { queries: 40, keys: 70, headSize: 256, valueSize: 256 },
        { queries: 4, keys: 6, headSize: 20, valueSize: 130 },
      ])('attend with $queries queries, $keys keys, heads of $headSize', async (size) => {
        await attend(size);
        await attend({ ...size, heads: 4, keyHeads: 2, causal: true, batch: 2 });
        await attend({ ...size, heads: 3, cap: 0.7, mask: [0, size.queries * size.keys, size.keys, 1] });
      });

      it('take heads by any strides, and masks that are broadcast', async () => {
        await attend({ batch: 2, heads: 6, keyHeads: 2, queries: 9, keys: 40, headSize: 16, valueSize: 12, causal: true, qStrides: [4000, 16, 200], kStrides: [9000, 1100, 18], vStrides: [7000, 900, 13], yStrides: [5000, 600, 15] });
        for (const mask of [[70, 0, 0, 1], [0, 0, 70, 1], [0, 1, 0, 0], [4 * 6 * 70, 6 * 70, 70, 1]] as const) await attend({ batch: 2, heads: 4, keyHeads: 2, queries: 6, keys: 70, headSize: 8, mask });
      });

      it('give keys that are not seen no weight, and share it where none is', async () => {
        await attend({ queries: 6, keys: 140, mask: [0, 0, 140, 1] }, (mask) => mask.forEach((_, index) => index % 140 < 100 && (mask[index] = -Infinity)));
        const y = await attend({ queries: 2, keys: 70, scale: 0.1, mask: [0, 0, 70, 1] }, (mask) => mask.fill(-3.4028234663852886e38));
        expect(y.every(Number.isFinite)).toBe(true);
      });
    }

    if (topK !== undefined) {
      it.each([[1, 1, 1], [3, 5, 2], [4, 64, 64], [40, 33, 3], [2, 2048, 2048], [2, 2049, 1], [3, 5000, 50], [1, 9000, 9000]] as const)('order [%i, %i], k = %i', async (count, columns, k) => {
        // Few distinct values, so that there are many ties.
        const floats = random(count * columns, columns, 100).map((value) => Math.round(value) / 8);
        for (const [index, value] of [NaN, -0, 0, Infinity, -Infinity, 1e-40].entries()) if (columns > 40) floats[index * 5] = value;
        const data = { float32: floats, int32: Int32Array.from(floats, (value) => (Number.isFinite(value) ? value * 1e7 : 0)), uint32: Uint32Array.from(floats, (value) => (Number.isFinite(value) ? value * 1e8 : 1)) };
        for (const type of ['float32', 'int32', 'uint32'] as const) {
          for (const largest of [true, false]) {
            const values = type === 'float32' ? new Float32Array(count * k) : type === 'int32' ? new Int32Array(count * k) : new Uint32Array(count * k);
            const indices = new Int32Array(count * k).fill(-1);
            await runProgram(runner, topK({ rows: count, columns, k, largest, type }, traits), { x: data[type], values, indices });
            const expected = evaluate('TopK', { largest: Number(largest) }, [{ dtype: type, shape: [count, columns], data: data[type] }, { dtype: 'int64', shape: [1], data: BigInt64Array.of(BigInt(k)) }], 2);
            expect(Array.from(indices)).toEqual(Array.from(expected[1]!.data as BigInt64Array, Number));
            expect(values).toEqual(expected[0]!.data);
          }
        }
      });
    }
  });
}
