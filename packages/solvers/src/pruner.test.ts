import { createRandom, type QuantizedWeight, type SparsityPattern } from '@pare/core';
import { dequantize, pruneRows, quantizeMatrix, zeroCodes } from '@pare/weights';
import { afterAll, describe, expect, it } from 'vitest';
import type { ColumnSolver, InverseFactor } from './contract.js';
import { prunerRule, type SweepPruner } from './pruner-rule.js';
import { quantizerRule, type SweepQuantizer } from './quantizer-rule.js';
import { referenceColumnSolver } from './reference.js';
import { correlatedInputs, damped, identity, objective, randomWeight, valueRule } from './testing.js';
import { createColumnSolver } from './wasm/solver.js';

const inline = createColumnSolver({ threads: 0 });
const threaded = createColumnSolver({ threads: 2 });
const solvers: readonly (readonly [string, ColumnSolver])[] = [
  ['reference', referenceColumnSolver],
  ['inline', inline],
  ['threaded', threaded],
];

afterAll(async () => {
  await inline.dispose();
  await threaded.dispose();
});

const unstructured: SparsityPattern = { kind: 'unstructured' };
const grouped = (zeros: number, group: number): SparsityPattern => ({ kind: 'grouped', zeros, group });
const half: SweepPruner = { pattern: unstructured, sparsity: 0.5 };
const twoOfFour: SweepPruner = { pattern: grouped(2, 4), sparsity: 0.5 };
const asymmetric: SweepQuantizer = { bits: 4, symmetric: false, groupSize: -1, staticGroups: true, clip: 'minmax', scaleType: 'float32' };

function factorOf(gram: Float64Array, size: number, changes: { damping?: number; order?: Int32Array } = {}): Promise<InverseFactor> {
  return referenceColumnSolver.factorize({ gram, size, damping: 0.01, dampingIncrement: 0.01, actOrder: false, ...changes });
}

const valuesOf = (values: Float32Array | QuantizedWeight): Float32Array => (values instanceof Float32Array ? values : dequantize(values));

describe('kernels and reference', () => {
  const pruners: (SweepPruner & { blockSize: number })[] = [
    ...[undefined, asymmetric, { ...asymmetric, symmetric: true, groupSize: 16, bits: 3 }, { ...asymmetric, clip: 'mse' as const, groupSize: 50, scaleType: 'bfloat16' as const }].flatMap((quantizer) =>
      [
        { pattern: unstructured, sparsity: 0.5, blockSize: 128 },
        { pattern: unstructured, sparsity: 0.3, blockSize: 40 },
        { pattern: grouped(2, 4), sparsity: 0.5, blockSize: 128 },
        { pattern: grouped(1, 3), sparsity: 0.5, blockSize: 100 },
        { pattern: grouped(7, 12), sparsity: 0.5, blockSize: 24 },
        { pattern: grouped(10, 20), sparsity: 0.5, blockSize: 30 },
      ].map((pruner) => ({ ...pruner, quantizer })),
    ),
  ];

  it.each(pruners)('prune to the same bits: %o', async ({ blockSize, ...pruner }) => {
    const [rows, size] = [21, 180];
    const weight = randomWeight(rows, size, 3);
    weight.fill(0, 400, 460);
    const { gram } = correlatedInputs(size, 300, 3);
    for (let index = 0; index < size; index++) gram[index * size + 17] = gram[17 * size + index] = 0;
    const factor = await factorOf(gram, size);
    const request = { weight, rows, factor, rule: prunerRule(pruner), blockSize };
    const expected = await referenceColumnSolver.sweep(request);
    for (const solver of [inline, threaded]) expect(await solver.sweep(request)).toEqual(expected);
    expect(valuesOf(expected.result.values).every((value, index) => expected.result.mask[index] === 1 || value === 0)).toBe(true);
  });

  it('prune unstructured in any visiting order', async () => {
    const [rows, size] = [18, 60];
    const { gram } = correlatedInputs(size, 90, 4);
    const factor = await factorOf(gram, size, { order: Int32Array.from({ length: size }, (_, index) => (index * 7 + 3) % size) });
    const request = { weight: randomWeight(rows, size, 4), rows, factor, rule: prunerRule(half), blockSize: 32 };
    expect(await inline.sweep(request)).toEqual(await referenceColumnSolver.sweep(request));
    await expect(inline.sweep({ ...request, rule: prunerRule(twoOfFour) })).rejects.toThrow(RangeError);
    await expect(referenceColumnSolver.sweep({ ...request, rule: prunerRule({ pattern: grouped(2, 7), sparsity: 0.5 }) })).rejects.toThrow(RangeError);
  });

  it('quantize under a mask to the same bits, pruned entries exactly zero', async () => {
    const [rows, size] = [21, 96];
    const weight = randomWeight(rows, size, 5);
    const { gram } = correlatedInputs(size, 200, 5);
    const mask = pruneRows([rows, size], (row, into) => into.set(weight.subarray(row * size, (row + 1) * size).map(Math.abs)), 48);
    for (let index = 0; index < weight.length; index++) weight[index]! *= mask[index]!;
    for (const actOrder of [false, true]) {
      const factor = await referenceColumnSolver.factorize({ gram, size, damping: 0.01, dampingIncrement: 0.01, actOrder });
      for (const changes of [{}, { symmetric: true }, { groupSize: 32 }, { groupSize: 32, staticGroups: false }, { groupSize: 24, staticGroups: false, symmetric: true, clip: 'mse' as const }]) {
        const request = { weight, rows, factor, rule: quantizerRule({ ...asymmetric, ...changes }, mask), blockSize: 40 };
        const expected = await referenceColumnSolver.sweep(request);
        for (const solver of [inline, threaded]) expect(await solver.sweep(request)).toEqual(expected);
        const zero = zeroCodes(expected.result);
        expect(mask.every((kept, index) => kept === 1 || expected.result.codes[index] === zero(Math.floor(index / size), index % size))).toBe(true);
      }
    }
  });
});

describe.each(solvers)('SparseGPT (%s)', (_, solver) => {
  const prune = async (weight: Float32Array, rows: number, factor: InverseFactor, pruner: SweepPruner, blockSize = 128) => {
    const { result, loss, rowLosses } = await solver.sweep({ weight, rows, factor, rule: prunerRule(pruner), blockSize });
    return { mask: result.mask, values: valuesOf(result.values), loss, rowLosses };
  };

  it.each([half, twoOfFour, { ...twoOfFour, quantizer: asymmetric }])('reports Δ·H·Δᵀ with the damped Hessian as its loss: %o', async (pruner) => {
    const [rows, size] = [9, 48];
    const weight = randomWeight(rows, size, 6);
    const { gram } = correlatedInputs(size, 100, 6);
    const { values, rowLosses } = await prune(weight, rows, await factorOf(gram, size), pruner);
    const expected = objective(weight, values, damped(gram, size, 0.01), size);
    for (let row = 0; row < rows; row++) expect(Math.abs(rowLosses[row]! / expected[row]! - 1)).toBeLessThan(1e-3);
  });

  it('is magnitude pruning of each block when the Hessian is a multiple of the identity', async () => {
    const [rows, size, blockSize] = [8, 64, 32];
    const weight = randomWeight(rows, size, 7);
    const { mask, values } = await prune(weight, rows, await factorOf(identity(size).map((value) => 3 * value), size), half, blockSize);
    for (let start = 0; start < size; start += blockSize) {
      const places = Array.from({ length: rows * blockSize }, (__, index) => Math.floor(index / blockSize) * size + start + (index % blockSize));
      const smallest = new Set(places.sort((a, b) => Math.abs(weight[a]!) - Math.abs(weight[b]!)).slice(0, places.length / 2));
      for (const place of places) expect(mask[place]).toBe(smallest.has(place) ? 0 : 1);
    }
    expect(values).toEqual(weight.map((value, index) => (mask[index] === 0 ? 0 : value)));
  });

  it('moves a removed weight to the next by H₀₁/H₁₁, and never backwards', async () => {
    const [a, b, c] = [2, 0.8, 1.5];
    const factor = await factorOf(Float64Array.of(a, b, b, c), 2, { damping: 0 });
    const first = await prune(Float32Array.of(0.01, 1), 1, factor, half);
    expect(first.values[0]).toBe(0);
    expect(first.values[1]).toBeCloseTo(1 + (0.01 * b) / c, 6);
    const second = await prune(Float32Array.of(1, 0.01), 1, factor, half);
    expect([...second.values]).toEqual([1, 0]);
  });

  it('moves a removed weight onto its duplicate', async () => {
    // x₀ ≡ x₁, tiny damping.
    const factor = await factorOf(Float64Array.of(1, 1, 1, 1), 2, { damping: 1e-4 });
    const { values } = await prune(Float32Array.of(0.4, 0.5), 1, factor, half);
    expect(values[0]).toBe(0);
    expect(values[1]).toBeCloseTo(0.9, 3);
  });

  it('does not depend on the block size under a fixed mask', async () => {
    const [rows, size] = [6, 72];
    const weight = randomWeight(rows, size, 8);
    const factor = await factorOf(correlatedInputs(size, 150, 8).gram, size);
    const { mask } = await prune(weight, rows, factor, half, 24);
    const fixed = (blockSize: number) => {
      const rule = valueRule('mask', (position, weights, settled) => {
        for (let row = 0; row < rows; row++) settled[row] = mask[row * size + position]! * weights[row]!;
      });
      return solver.sweep({ weight, rows, factor, rule, blockSize });
    };
    expect((await fixed(7)).result).toEqual((await fixed(128)).result);
    // N:M masks look at their own columns only, so blocks do not show at all.
    expect(await prune(weight, rows, factor, twoOfFour, 8)).toEqual(await prune(weight, rows, factor, twoOfFour, 72));
  });

  it('prunes floor(rows · columns · sparsity) of each block and exactly N of every M', async () => {
    const [rows, size] = [5, 60];
    const weight = randomWeight(rows, size, 9);
    const factor = await factorOf(correlatedInputs(size, 150, 9).gram, size);
    const { mask } = await prune(weight, rows, factor, { pattern: unstructured, sparsity: 0.37 }, 16);
    for (let start = 0; start < size; start += 16) {
      const width = Math.min(16, size - start);
      const kept = Array.from({ length: rows * width }, (__, index) => mask[Math.floor(index / width) * size + start + (index % width)]!);
      expect(kept.filter((entry) => entry === 0)).toHaveLength(Math.floor(rows * width * 0.37));
    }
    // Equal costs go together.
    const ties = await prune(Float32Array.of(1, 2, 2, 2, 3, 4), 6, await factorOf(identity(1), 1, { damping: 0 }), { pattern: unstructured, sparsity: 0.4 });
    expect([...ties.mask]).toEqual([0, 0, 0, 0, 1, 1]);
    const groups = await prune(weight, rows, factor, { pattern: grouped(3, 5), sparsity: 0 });
    for (let start = 0; start < rows * size; start += 5) expect(groups.mask.subarray(start, start + 5).filter((entry) => entry === 0)).toHaveLength(3);
  });

  it('beats magnitude and Wanda masks without compensation in nearly all rows of correlated inputs', async () => {
    const [rows, size] = [120, 16];
    const weight = randomWeight(rows, size, 10);
    // Features differ in size by a factor of up to 25, as activations do: that is what magnitudes cannot see.
    const random = createRandom(10);
    const scales = Float64Array.from({ length: size }, () => 5 ** (2 * random() - 1));
    const gram = correlatedInputs(size, 64, 10).gram.map((value, index) => value * scales[Math.floor(index / size)]! * scales[index % size]!);
    const hessian = damped(gram, size, 0.01);
    const factor = await factorOf(gram, size);
    const masked = (scale: (column: number) => number): Float32Array => {
      const mask = pruneRows([rows, size], (row, into) => into.set(into.map((__, column) => Math.abs(weight[row * size + column]!) * scale(column))), size / 2);
      return weight.map((value, index) => (mask[index] === 0 ? 0 : value));
    };
    const magnitude = objective(weight, masked(() => 1), hessian, size);
    const wanda = objective(weight, masked((column) => Math.sqrt(gram[column * (size + 1)]!)), hessian, size);
    let [belowMagnitude, belowWanda, sum] = [0, 0, 0];
    for (let row = 0; row < rows; row++) {
      const { loss } = await prune(weight.subarray(row * size, (row + 1) * size), 1, factor, half);
      sum += loss;
      if (loss < magnitude[row]!) belowMagnitude += 1;
      if (loss < wanda[row]!) belowWanda += 1;
    }
    expect(belowMagnitude / rows).toBeGreaterThan(0.95);
    expect(belowWanda / rows).toBeGreaterThan(0.88);
    expect(sum).toBeLessThan(wanda.reduce((total, loss) => total + loss, 0) / 1.5);
  });

  it('rounds on grids of the original weights in the same pass', async () => {
    const [rows, size] = [7, 32];
    const weight = randomWeight(rows, size, 11);
    const factor = await factorOf(correlatedInputs(size, 80, 11).gram, size);
    const { result } = await solver.sweep({ weight, rows, factor, rule: prunerRule({ ...half, quantizer: asymmetric }) });
    const form = result.values as QuantizedWeight;
    const grids = quantizeMatrix(weight, [rows, size], asymmetric, 'float32');
    expect(form.scales).toEqual(grids.scales);
    expect(form.zeros).toEqual(grids.zeros);
    const zero = zeroCodes(form);
    expect(result.mask.every((kept, index) => kept === 1 || form.codes[index] === zero(Math.floor(index / size), 0))).toBe(true);
  });
});

it('says which weight is not finite', async () => {
  const weight = randomWeight(4, 8, 12);
  weight[9] = Infinity;
  const factor = await factorOf(identity(8), 8);
  await expect(inline.sweep({ weight, rows: 4, factor, rule: prunerRule(twoOfFour) })).rejects.toMatchObject({ code: 'PARE_WEIGHT_NOT_FINITE', data: { index: 9 } });
});
