import type { HostTensor } from '@pare/core';
import type { AttentionRequest, DeviceTraits, MatMulRequest, ProgramRunner, RoutineTable } from '@pare/executor';
import { describe, expect, it } from 'vitest';
import { relativeError } from './relative-error.js';
import { activations, checkAttention, checkFarActivation, checkMatMul, checkQuantizedMatMul, checkTopK, evaluateOperator, randomFloats } from './routine-checks.js';
import { runProgram } from './run-program.js';

export interface RoutineConformanceOptions {
  readonly routines: RoutineTable;
  readonly runner: ProgramRunner;
  /** What routines are told of the device: the runner's traits, or tighter ones. */
  readonly traits?: DeviceTraits | undefined;
}

const float32 = (shape: readonly number[], data: Float32Array): HostTensor => ({ dtype: 'float32', shape, data });

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

    const multiply = (changes: Partial<MatMulRequest>): Promise<void> => checkMatMul(runner, (request) => routines.matMul(request, traits), changes);

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
      await checkFarActivation(runner, (request) => routines.matMul(request, traits), activation);
    });

    const { quantizedMatMul, softmax, normalization, attention, topK } = routines;
    if (quantizedMatMul !== undefined) {
      it.each([4, 8] as const)('multiply by packed codes of %i bits', async (bits) => {
        for (const [m, n, k, blockSize, zeros, bias] of [[1, 37, 160, 32, true, true], [3, 18, 77, 16, false, true], [33, 35, 100, 32, true, false], [8, 12, 300, 128, false, false], [2, 3, 0, 16, true, true]] as const) {
          await checkQuantizedMatMul(runner, (request) => quantizedMatMul(request, traits), { m, n, k, bits, blockSize, zeros, bias });
        }
      });
    }

    const rows = [[1, 1], [3, 2], [5, 17], [64, 33], [1, 257], [7, 1300], [3, 4097], [6000, 3]] as const;
    if (softmax !== undefined) {
      it.each(rows)('take the softmax of [%i, %i]', async (count, columns) => {
        const x = randomFloats(count * columns, 5, 8);
        if (columns > 16) for (let index = 0; index < x.length; index += 3) x[index] = -Infinity;
        for (const logarithm of [false, true]) {
          const y = new Float32Array(x.length).fill(7);
          await runProgram(runner, softmax({ rows: count, columns, logarithm }, traits), { x, y });
          const [expected] = evaluateOperator(logarithm ? 'LogSoftmax' : 'Softmax', {}, [float32([count, columns], x)]);
          expect(relativeError(y, expected!.data as Float32Array)).toBeLessThan(2e-6);
        }
      });
    }

    if (normalization !== undefined) {
      it.each(rows)('normalise [%i, %i]', async (count, columns) => {
        const [x, scale, bias] = [randomFloats(count * columns, 5, 8).map((value) => value + 3), randomFloats(columns, 11), randomFloats(columns, 12)];
        const shape = [count, columns];
        for (const kind of ['layer', 'rms'] as const) {
          const [y, mean, inverse] = [new Float32Array(x.length), new Float32Array(count), new Float32Array(count)];
          const layer = kind === 'layer';
          await runProgram(runner, normalization({ rows: count, columns, epsilon: 1e-3, kind, scale: true, bias: layer, mean: layer, inverse: true }, traits), { x, y, scale, bias, mean, inverse });
          const inputs = [float32(shape, x), float32([columns], scale), ...(layer ? [float32([columns], bias)] : [])];
          const expected = evaluateOperator(layer ? 'LayerNormalization' : 'SimplifiedLayerNormalization', { epsilon: Math.fround(1e-3) }, inputs, layer ? 3 : 2);
          expect(relativeError(y, expected[0]!.data as Float32Array)).toBeLessThan(5e-6);
          expect(relativeError(inverse, expected.at(-1)!.data as Float32Array)).toBeLessThan(5e-6);
          if (layer) expect(relativeError(mean, expected[1]!.data as Float32Array)).toBeLessThan(3e-6);
        }
      });
    }

    if (attention !== undefined) {
      const attend = (changes: Partial<AttentionRequest>, fill?: (mask: Float32Array) => void): Promise<Float32Array> => checkAttention(runner, (request) => attention(request, traits), changes, fill);

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
        const floats = randomFloats(count * columns, columns, 100).map((value) => Math.round(value) / 8);
        for (const [index, value] of [NaN, -0, 0, Infinity, -Infinity, 1e-40].entries()) if (columns > 40) floats[index * 5] = value;
        const data = { float32: floats, int32: Int32Array.from(floats, (value) => (Number.isFinite(value) ? value * 1e7 : 0)), uint32: Uint32Array.from(floats, (value) => (Number.isFinite(value) ? value * 1e8 : 1)) };
        for (const type of ['float32', 'int32', 'uint32'] as const) {
          for (const largest of [true, false]) {
            await checkTopK(runner, (request) => topK(request, traits), { rows: count, columns, k, largest }, data[type]);
          }
        }
      });
    }
  });
}
