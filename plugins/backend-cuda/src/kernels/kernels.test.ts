import type { AttentionRequest, MatMulRequest, Program } from '@pare/executor';
import { cholesky } from '@pare/solvers';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { traitsOf } from '../device/cuda-device.js';
import { productOf } from '../device/product.js';
import { attention, tileMemory } from './attention.js';
import { matMul, narrowingFor, quantizedMatMul, subtractProduct } from './matmul.js';
import { cudaRoutines } from './index.js';
import { lanesOf, normalization, softmax } from './rows.js';
import { columnSolverKernels, factorize } from './solver.js';
import { topK } from './topk.js';

const traits = traitsOf({ sharedMemory: 232_448 });
const names = ({ dispatches }: Program): string[] => dispatches.map(({ kernel }) => kernel.name);

it('has the texts of the .cu files', () => {
  const script = path.join(import.meta.dirname, '../../../../tools/embed-kernels.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, path.join(import.meta.dirname, '../..'), 'cu', '--check'], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});

describe('matrix products', () => {
  const request = (changes: Partial<MatMulRequest>): MatMulRequest => {
    const { m = 2, n = 3, k = 4 } = changes;
    return { m, n, k, batch: 1, aBatchStride: m * k, bBatchStride: k * n, transposeA: false, transposeB: false, alpha: 1, ...changes };
  };
  const planOf = (program: Program) => productOf(program.dispatches.find(({ kernel }) => kernel.library !== undefined)!.kernel);

  it('tell the library where their operands lie', () => {
    const { plan, addend } = planOf(matMul(request({ m: 5, n: 6, k: 7, batch: 2, transposeA: true, alpha: 0.5 }), 'float32'));
    expect(addend).toBe('none');
    expect(plan).toMatchObject({ m: 5, n: 6, k: 7, batch: 2, transposeA: true, transposeB: false, alpha: 0.5, beta: 0, type: 'float32', compute: 'float32' });
    expect(plan.a).toEqual({ first: 0, row: 5, batchStride: 35 });
    expect(plan.b).toEqual({ first: 0, row: 6, batchStride: 42 });
    expect(plan.y).toEqual({ first: 0, row: 6, batchStride: 30 });
  });

  it('read operands whose lines lie apart', () => {
    const { plan } = planOf(matMul(request({ m: 5, n: 6, k: 7, transposeA: true, aLineStride: 40, bLineStride: 50 }), 'float32'));
    expect([plan.a.row, plan.b.row, plan.y.row]).toEqual([40, 50, 6]);
  });

  it('become one where rows of all batches meet one matrix', () => {
    expect(planOf(matMul(request({ m: 5, batch: 3, bBatchStride: 0 }), 'float32')).plan).toMatchObject({ m: 15, batch: 1 });
  });

  it.each([
    ['a row', { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 }, 'bias', ['matmul-float32']],
    ['a matrix', { beta: 2, rowStride: 3, columnStride: 1, batchStride: 6 }, 'matrix', ['matmul-float32']],
    ['a scaled row', { beta: 2, rowStride: 0, columnStride: 1, batchStride: 0 }, 'none', ['matmul-float32', 'matmul-finish']],
    ['a column', { beta: 1, rowStride: 1, columnStride: 0, batchStride: 0 }, 'none', ['matmul-float32', 'matmul-finish']],
  ])('add %s by the library or by themselves', (_name, addend, kind, kernels) => {
    const program = matMul(request({ addend }), 'float32');
    expect(planOf(program).addend).toBe(kind);
    expect(names(program)).toEqual(kernels);
  });

  it('leave activations to a kernel of their own', () => {
    expect(names(matMul(request({ activation: 'silu', addend: { beta: 1, rowStride: 0, columnStride: 1, batchStride: 0 } }), 'float32'))).toEqual(['matmul-float32', 'matmul-finish']);
  });

  it('are made in bfloat16 where narrowing their operands pays', () => {
    const { pays, narrow } = narrowingFor('bfloat16')!;
    expect(pays(request({ m: 4096, n: 4096, k: 128 }))).toBe(true);
    expect(pays(request({ m: 16_384, n: 1024, k: 4096 }))).toBe(true);
    expect(pays(request({}))).toBe(false);
    expect(pays(request({ m: 16_384, n: 192, k: 576 }))).toBe(false);
    expect(names(narrow({ count: 4097 }, traits))).toEqual(['narrow']);
    const { plan } = planOf(matMul(request({ type: 'bfloat16' }), 'bfloat16'));
    expect([plan.type, plan.compute]).toEqual(['bfloat16', 'float32']);
    expect(names(matMul(request({}), 'bfloat16'))).toEqual(['matmul-tf32']);
    expect(names(matMul(request({}), 'tf32'))).toEqual(['matmul-tf32']);
    expect(narrowingFor('tf32')).toBeUndefined();
  });

  it('over nothing are what is added', () => {
    expect(names(matMul(request({ k: 0 }), 'float32'))).toEqual(['matmul-finish']);
    for (const empty of [{ m: 0 }, { n: 0 }, { batch: 0 }]) expect(matMul(request(empty), 'float32').dispatches).toEqual([]);
  });

  it('with packed codes read them directly for few rows', () => {
    const codes = { n: 16, k: 64, bits: 4, blockSize: 32, zeros: true, bias: true } as const;
    expect(names(quantizedMatMul({ m: 2, ...codes }, 'float32'))).toEqual(['codes-rows']);
    const many = quantizedMatMul({ m: 20, ...codes }, 'float32');
    expect(names(many)).toEqual(['codes-widen', 'matmul-float32']);
    expect(many.dispatches[1]!.operands.map(({ buffer }) => buffer)).toEqual(['x', 'weight', 'bias', 'y']);
    expect(quantizedMatMul({ m: 0, ...codes }, 'float32').dispatches).toEqual([]);
  });

  it('of a sweep start inside of their buffers', () => {
    const { plan } = productOf(subtractProduct({ m: 4, n: 5, k: 6, aFirst: 70, aRow: 10, yFirst: 30 }, { a: 'upper', b: 'errors' }).kernel);
    expect(plan).toMatchObject({ alpha: -1, beta: 1, transposeA: true, a: { first: 70, row: 10 }, y: { first: 30, row: 5 } });
  });

  it('of another library are refused', () => {
    expect(() => productOf({ name: 'x', code: '', entry: '', constants: {}, library: 'other' })).toThrow('asks for the library "other"');
  });
});

describe('attention', () => {
  const request: AttentionRequest = {
    ...{ batch: 1, heads: 4, keyHeads: 2, queries: 100, keys: 100, headSize: 64, valueSize: 64, scale: 1, cap: 0, causal: true },
    ...{ qStrides: [1, 1, 1], kStrides: [1, 1, 1], vStrides: [1, 1, 1], yStrides: [1, 1, 1] },
  };

  it('takes tiles that shared memory holds', () => {
    for (const [memory, height, keys] of [[232_448, 4, 64], [60_000, 4, 32], [40_000, 2, 32]] as const) {
      const [dispatch] = attention(request, { ...traits, workgroupMemory: memory }).dispatches;
      expect(dispatch!.kernel.constants).toMatchObject({ HEIGHT: height, KEYS: keys, HEAD: 64, FEATURES: 4 });
      expect(dispatch!.kernel.workgroupMemory).toBe(tileMemory({ height, keys }, 64, 4));
    }
    expect(() => attention(request, { ...traits, workgroupMemory: 4096 })).toThrow(RangeError);
  });

  it('takes low tiles for few rows', () => {
    expect(attention({ ...request, queries: 1 }, traits).dispatches[0]!.kernel.constants['HEIGHT']).toBe(1);
  });

  it('has nothing to do without queries and refuses what it cannot hold', () => {
    expect(attention({ ...request, queries: 0 }, traits).dispatches).toEqual([]);
    expect(() => attention({ ...request, headSize: 257 }, traits)).toThrow(RangeError);
    expect(() => attention({ ...request, heads: 3 }, traits)).toThrow(RangeError);
  });
});

describe('row kernels', () => {
  it('share rows among more invocations the longer they are', () => {
    expect([1, 16, 17, 100, 1024, 1025].map(lanesOf)).toEqual([4, 4, 8, 32, 32, 256]);
  });

  it('bind what they are asked for', () => {
    const [dispatch] = normalization({ rows: 3, columns: 20, epsilon: 1, kind: 'rms', scale: true, bias: false, mean: false, inverse: true }).dispatches;
    expect(dispatch!.operands.map(({ buffer, access }) => `${access} ${buffer}`)).toEqual(['read x', 'read scale', 'write y', 'write inverse']);
  });

  it('have nothing to do without elements', () => {
    expect(softmax({ rows: 0, columns: 4, logarithm: false }).dispatches).toEqual([]);
    expect(softmax({ rows: 4, columns: 0, logarithm: false }).dispatches).toEqual([]);
    expect(topK({ rows: 0, columns: 4, k: 2, largest: true, type: 'float32' }).dispatches).toEqual([]);
    expect(topK({ rows: 4, columns: 4, k: 0, largest: true, type: 'float32' }).dispatches).toEqual([]);
  });

  it('sort long rows by pieces that are merged', () => {
    expect(names(topK({ rows: 2, columns: 5000, k: 3, largest: true, type: 'float32' }))).toEqual(['topk-sort', 'topk-compare', 'topk-merge', 'topk-compare', 'topk-compare', 'topk-merge', 'topk-take']);
    expect(names(topK({ rows: 2, columns: 1, k: 1, largest: true, type: 'float32' }))).toEqual(['topk-sort', 'topk-take']);
  });
});

/** Runs a factorization of parts of at most 32 columns on the host: each kernel by what its text says, products by their plans. */
function runFactorization({ dispatches }: Program, buffers: Readonly<Record<string, Float64Array>>): void {
  for (const { kernel, operands, uniforms = new Uint32Array(0) } of dispatches) {
    const [stride, first, third, fourth] = uniforms as unknown as [number, number, number, number];
    const { matrix, corner, band } = buffers as Record<string, Float64Array>;
    if (kernel.name === 'factor-diagonal') {
      expect(third).toBe(0);
      invertFactor(matrix!, stride, first, fourth);
    } else if (kernel.name === 'factor-corner') {
      for (let i = 0; i < third; i++) for (let j = 0; j < third; j++) corner![i * third + j] = j <= i ? matrix![(first + i) * stride + first + j]! : 0;
    } else if (kernel.name === 'factor-band') {
      for (let i = 0; i < third; i++) for (let j = 0; j < first; j++) matrix![(first + i) * stride + j] = band![i * first + j]!;
    } else {
      const { plan } = productOf(kernel);
      const [a, b, y] = operands.map(({ buffer }) => buffers[buffer]!) as [Float64Array, Float64Array, Float64Array];
      const sums = Array.from({ length: plan.m * plan.n }, (_, index) => {
        const [i, j] = [Math.floor(index / plan.n), index % plan.n];
        let sum = 0;
        for (let k = 0; k < plan.k; k++) sum += a[plan.a.first + i * plan.a.row + k]! * b[plan.b.first + (plan.transposeB ? j * plan.b.row + k : k * plan.b.row + j)]!;
        return plan.alpha * sum + (plan.beta === 0 ? 0 : plan.beta * y[plan.y.first + i * plan.y.row + j]!);
      });
      for (const [index, sum] of sums.entries()) y[plan.y.first + Math.floor(index / plan.n) * plan.y.row + (index % plan.n)] = sum;
    }
  }
}

/** L⁻¹ of A = L·Lᵀ in the place of the lower triangle of A, for a block on the diagonal. */
function invertFactor(matrix: Float64Array, stride: number, first: number, count: number): void {
  const part = Float64Array.from({ length: count * count }, (_, index) => matrix[(first + Math.floor(index / count)) * stride + first + (index % count)]!);
  expect(cholesky(part, count)).toBe(true);
  for (let j = 0; j < count; j++) {
    for (let i = j; i < count; i++) {
      let sum = i === j ? 1 : 0;
      for (let k = j; k < i; k++) sum -= part[i * count + k]! * matrix[(first + k) * stride + first + j]!;
      matrix[(first + i) * stride + first + j] = sum / part[i * count + i]!;
    }
  }
}

it.each([[70, 16, 24], [64, 16, 64], [33, 32, 8], [20, 32, 8]])('inverts the factor of %i columns in parts of %i, strips of %i', (size, part, strip) => {
  const matrix = Float64Array.from({ length: size * size }, (_, index) => {
    const [i, j] = [Math.floor(index / size), index % size];
    return j > i ? NaN : i === j ? size : Math.sin(i * 7 + j * 3);
  });
  const lower = matrix.slice();
  invertFactor(lower, size, 0, size);
  const scratch = Object.fromEntries(['corner', 'below', 'band'].map((name) => [name, new Float64Array(size * part).fill(NaN)]));
  runFactorization(factorize(size, part, strip), { matrix, ...scratch });
  let largest = 0;
  for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) largest = Math.max(largest, Math.abs(matrix[i * size + j]! - lower[i * size + j]!));
  expect(largest).toBeLessThan(1e-15);
});

it('factorizes large matrices by products in float64', () => {
  const program = columnSolverKernels.factorize(1100);
  const products = program.dispatches.filter(({ kernel }) => kernel.library !== undefined);
  expect(new Set(products.map(({ kernel }) => productOf(kernel).plan.type))).toEqual(new Set(['float64']));
  expect(names(program).filter((name) => name === 'factor-corner')).toHaveLength(3);
  expect(Object.keys(columnSolverKernels.scratch(1100))).toEqual(['panel', 'inverse', 'corner', 'below', 'band']);
});

it('takes attention to tensor cores where heads suit them', () => {
  const request: AttentionRequest = {
    ...{ batch: 2, heads: 8, keyHeads: 2, queries: 100, keys: 100, headSize: 128, valueSize: 128, scale: 1, cap: 0, causal: true },
    ...{ qStrides: [4, 4, 4], kStrides: [4, 4, 4], vStrides: [4, 4, 4], yStrides: [4, 4, 4] },
  };
  const program = attention(request, traits, true);
  expect(names(program)).toEqual(['attention-tensor']);
  // Four query heads share a key head: 400 rows in tiles of 128, for two key heads of two batches.
  expect(program.dispatches[0]!.workgroups).toEqual([16, 1, 1]);
  for (const changes of [{ queries: 15 }, { headSize: 72 }, { valueSize: 144 }, { kStrides: [4, 4, 2] as const }]) expect(names(attention({ ...request, ...changes }, traits, true))).toEqual(['attention']);
  expect(names(attention(request, traits))).toEqual(['attention']);
  expect(() => attention({ ...request, heads: 3 }, traits, true)).toThrow(RangeError);
  expect(cudaRoutines('bfloat16', 75).attention!(request, traits).dispatches[0]!.kernel.name).toBe('attention');
  expect(cudaRoutines('bfloat16', 80).attention!(request, traits).dispatches[0]!.kernel.name).toBe('attention-tensor');
});

it('factorizes in blocks, the last of which has nothing below', () => {
  const step = ['factor-diagonal', 'factor-panel', 'factor-trailing'];
  expect(names(columnSolverKernels.factorize(70))).toEqual([...step, ...step, 'factor-diagonal', 'factor-panel']);
  expect(names(columnSolverKernels.factorize(20))).toEqual(['factor-diagonal']);
});
