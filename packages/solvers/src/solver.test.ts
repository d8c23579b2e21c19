import { createRandom } from '@pare/core';
import { dequantize, quantizeMatrix } from '@pare/weights';
import { afterAll, describe, expect, it } from 'vitest';
import type { ColumnSolver, FactorizeRequest, SweepRequest } from './contract.js';
import { quantizerRule, type SweepQuantizer } from './quantizer-rule.js';
import { referenceColumnSolver } from './reference.js';
import { correlatedInputs, damped, gramOf, identity, objective, randomWeight, valueRule } from './testing.js';
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

const fourBits: SweepQuantizer = { bits: 4, symmetric: true, groupSize: -1, staticGroups: false, clip: 'minmax', scaleType: 'float32' };

function factorRequest(gram: Float64Array | Float32Array, size: number, changes: Partial<FactorizeRequest> = {}): FactorizeRequest {
  return { gram, size, damping: 0.01, dampingIncrement: 0.01, actOrder: false, ...changes };
}

/** Uᵀ·U for the leading positions, natural order of a matrix [size, size]. */
function gramOfUpper(upper: Float32Array, size: number): Float64Array {
  const product = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      for (let k = 0; k <= Math.min(i, j); k++) product[i * size + j]! += upper[k * size + i]! * upper[k * size + j]!;
    }
  }
  return product;
}

describe.each(solvers)('factorization (%s)', (_, solver) => {
  it('gives U with UᵀU = H⁻¹, upper triangular', async () => {
    const size = 37;
    const { gram } = correlatedInputs(size, 80, 1);
    const factor = await solver.factorize(factorRequest(gram, size));
    const inverse = gramOfUpper(factor.upper, size);
    const hessian = damped(gram, size, 0.01);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let k = 0; k < size; k++) sum += hessian[i * size + k]! * inverse[k * size + j]!;
        expect(Math.abs(sum - (i === j ? 1 : 0))).toBeLessThan(1e-4);
        if (j < i) expect(factor.upper[i * size + j]).toBe(0);
      }
    }
    expect(factor.damping).toBe(0.01);
    expect(factor.order).toBeUndefined();
  });

  it('visits columns by descending diagonal, equal ones as they stand', async () => {
    const size = 6;
    const gram = new Float64Array(36);
    [3, 5, 0, 3, 9, 5].forEach((value, index) => (gram[index * 7] = value));
    const factor = await solver.factorize(factorRequest(gram, size, { actOrder: true }));
    expect([...factor.order!]).toEqual([4, 1, 5, 0, 3, 2]);
    expect([...factor.dead]).toEqual([0, 0, 1, 0, 0, 0]);
    expect([...factor.diagonal]).toEqual([3, 5, 1, 3, 9, 5]);
  });

  it('permutes with any given order', async () => {
    const size = 20;
    const { gram } = correlatedInputs(size, 50, 2);
    const order = Int32Array.from({ length: size }, (__, index) => (index * 7 + 3) % size);
    const permuted = Float64Array.from({ length: size * size }, (__, index) => gram[order[Math.floor(index / size)]! * size + order[index % size]!]!);
    const factor = await solver.factorize(factorRequest(gram, size, { order }));
    expect(factor.upper).toEqual((await solver.factorize(factorRequest(permuted, size))).upper);
    await expect(solver.factorize(factorRequest(gram, size, { order: new Int32Array(size) }))).rejects.toThrow(RangeError);
  });

  it('takes float32 Gram matrices and scales them', async () => {
    const size = 24;
    const { gram } = correlatedInputs(size, 50, 3);
    const single = Float32Array.from(gram);
    const a = await solver.factorize(factorRequest(single, size, { scale: 0.25 }));
    const b = await solver.factorize(factorRequest(Float64Array.from(single, (value) => value * 0.25), size));
    expect(a.upper).toEqual(b.upper);
  });

  it('raises the damping until the Hessian is positive definite', async () => {
    const size = 10;
    // All ones minus a bit: the smallest eigenvalue is −0.025, the mean of the diagonal 0.975.
    const gram = new Float64Array(size * size).fill(1);
    for (let i = 0; i < size; i++) gram[i * size + i] = 0.975;
    const factor = await solver.factorize(factorRequest(gram, size, { damping: 0, dampingIncrement: 0.01 }));
    expect(factor.damping).toBeCloseTo(0.03, 12);
  });

  it('gives up below damping 1, or at once without an increment', async () => {
    const size = 4;
    const gram = identity(size).map((value) => value * 1);
    gram[1] = 9;
    gram[4] = 9;
    await expect(solver.factorize(factorRequest(gram, size))).rejects.toMatchObject({ code: 'PARE_FACTORIZATION_FAILED', data: { size, damping: 0.99 } });
    await expect(solver.factorize(factorRequest(gram, size, { dampingIncrement: 0 }))).rejects.toMatchObject({ data: { damping: 0.01 } });
  });

  it('refuses numbers that are not finite, with their place', async () => {
    const gram = identity(5);
    gram[13] = NaN;
    await expect(solver.factorize(factorRequest(gram, 5))).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE', data: { row: 2, column: 3 } });
    await expect(solver.factorize(factorRequest(identity(5), 4))).rejects.toThrow(RangeError);
  });
});

describe('kernels and reference', () => {
  it.each([1, 3, 4, 16, 63, 64, 65, 97, 130, 201, 290])('factorize %s inputs to the same bits', async (size) => {
    const { gram } = correlatedInputs(size, size + 5, size);
    const request = factorRequest(gram, size, { actOrder: size % 2 === 0 });
    const expected = await referenceColumnSolver.factorize(request);
    for (const solver of [inline, threaded]) {
      const { upper, ...rest } = await solver.factorize(request);
      // Element by element, `toEqual` takes seconds on arrays of this size.
      expect(Buffer.compare(Buffer.from(upper.buffer), Buffer.from(expected.upper.buffer))).toBe(0);
      expect({ ...rest, upper: expected.upper }).toEqual(expected);
    }
  });

  const quantizers: SweepQuantizer[] = [2, 4, 8].flatMap((bits) =>
    [true, false].flatMap((symmetric) =>
      (['minmax', 'mse'] as const).flatMap((clip) =>
        (['float32', 'float16', 'bfloat16'] as const).flatMap((scaleType) =>
          [
            { groupSize: -1, staticGroups: false },
            { groupSize: 16, staticGroups: false },
            { groupSize: 24, staticGroups: true },
            { groupSize: 50, staticGroups: false },
          ].map((groups) => ({ bits, symmetric, clip, scaleType, ...groups })),
        ),
      ),
    ),
  );

  it('sweep to the same bits under every quantizer', async () => {
    const [rows, size] = [19, 75];
    const weight = randomWeight(rows, size, 5);
    weight.fill(0, 30, 47);
    const { gram } = correlatedInputs(size, 150, 5);
    for (let token = 0; token < size; token++) {
      gram[token * size + 12] = 0;
      gram[12 * size + token] = 0;
    }
    for (const actOrder of [false, true]) {
      const factor = await referenceColumnSolver.factorize(factorRequest(gram, size, { actOrder }));
      for (const [index, quantizer] of quantizers.entries()) {
        const request = { weight, rows, factor, rule: quantizerRule(quantizer), blockSize: 32 };
        const expected = await referenceColumnSolver.sweep(request);
        expect(await inline.sweep(request), JSON.stringify(quantizer)).toEqual(expected);
        if (index % 5 === 0) expect(await threaded.sweep(request), JSON.stringify(quantizer)).toEqual(expected);
      }
    }
  });

  it('sweep any rule to the same bits', async () => {
    const [rows, size] = [35, 90];
    const { gram } = correlatedInputs(size, 150, 6);
    const factor = await inline.factorize(factorRequest(gram, size, { actOrder: true }));
    const weight = randomWeight(rows, size, 6);
    const seen: number[][] = [];
    const rule = valueRule(
      'halves',
      (_, weights, settled) => settled.set(weights.map((value) => Math.round(value * 2) / 2)),
      { lookahead: (position) => (position % 40 === 0 ? Math.min(40, size - position) : 0), observe: (...call) => seen.push([call[0], call[2], ...call[1]]) },
    );
    const request = { weight, rows, factor, rule, blockSize: 32 };
    const expected = await referenceColumnSolver.sweep(request);
    const seenByReference = seen.splice(0);
    expect(await inline.sweep(request)).toEqual(expected);
    expect(seen.splice(0)).toEqual(seenByReference);
    expect(await threaded.sweep(request)).toEqual(expected);
    expect(seen).toEqual(seenByReference);
  });

  it('wake threads for large products of any rule', async () => {
    const [rows, size] = [200, 160];
    const factor = await inline.factorize(factorRequest(correlatedInputs(size, 60, 7).gram, size));
    const request = { weight: randomWeight(rows, size, 7), rows, factor, rule: valueRule('round', (_, weights, settled) => settled.set(weights.map(Math.round))) };
    expect(await threaded.sweep(request)).toEqual(await referenceColumnSolver.sweep(request));
  });

  it('forget the packed factor of another layer', async () => {
    const rows = 20;
    const rule = quantizerRule(fourBits);
    const [a, b] = await Promise.all([48, 33].map((size, seed) => inline.factorize(factorRequest(correlatedInputs(size, 60, seed).gram, size))));
    for (const factor of [a!, a!, b!, a!, b!]) {
      const request = { weight: randomWeight(rows, factor.size, 8), rows, factor, rule };
      expect(await inline.sweep(request)).toEqual(await referenceColumnSolver.sweep(request));
    }
  });
});

describe.each(solvers)('column sweep (%s)', (_, solver) => {
  const [rows, size] = [24, 96];
  const weight = randomWeight(rows, size, 11);
  const { gram } = correlatedInputs(size, 200, 11);
  const sweep = async (quantizer: SweepQuantizer, changes: Partial<FactorizeRequest> = {}, more: Partial<SweepRequest<never>> = {}) => {
    const factor = await solver.factorize(factorRequest(gram, size, changes));
    return solver.sweep({ weight, rows, factor, ...more, rule: quantizerRule(quantizer) });
  };

  it.each([
    { actOrder: false, staticGroups: false, groupSize: -1 },
    { actOrder: true, staticGroups: false, groupSize: -1 },
    { actOrder: false, staticGroups: false, groupSize: 32 },
    { actOrder: true, staticGroups: false, groupSize: 32 },
    { actOrder: true, staticGroups: true, groupSize: 32 },
    { actOrder: false, staticGroups: false, groupSize: 40 },
  ])('has loss Σe² = Δ H Δᵀ of the damped Hessian, row by row: %o', async ({ actOrder, ...groups }) => {
    const { result, loss, rowLosses } = await sweep({ ...fourBits, bits: 3, ...groups }, { actOrder });
    const expected = objective(weight, dequantize(result), damped(gram, size, 0.01), size);
    for (let row = 0; row < rows; row++) expect(rowLosses[row]! / expected[row]!).toBeCloseTo(1, 3);
    expect(loss).toBeCloseTo(rowLosses.reduce((sum, value) => sum + value), 9);
  });

  it.each(['float32', 'float16', 'bfloat16'] as const)('is rounding to nearest when the Hessian is the identity (%s scales)', async (scaleType) => {
    for (const symmetric of [true, false]) {
      for (const groupSize of [-1, 16, 40]) {
        for (const clip of ['minmax', 'mse'] as const) {
          const quantizer = { ...fourBits, symmetric, groupSize, clip, scaleType };
          const factor = await solver.factorize(factorRequest(identity(size), size));
          const { result } = await solver.sweep({ weight, rows, factor, rule: quantizerRule(quantizer) });
          expect(result).toEqual(quantizeMatrix(weight, [rows, size], quantizer, scaleType));
        }
      }
    }
  });

  it('does better than rounding to nearest on nearly all rows', async () => {
    const quantizer = { ...fourBits, bits: 3 };
    const { result } = await sweep(quantizer);
    const swept = objective(weight, dequantize(result), gram, size);
    const rounded = objective(weight, dequantize(quantizeMatrix(weight, [rows, size], quantizer, 'float32')), gram, size);
    expect(swept.filter((value, row) => value < rounded[row]!).length).toBeGreaterThanOrEqual(0.9 * rows);
    expect(swept.reduce((a, b) => a + b)).toBeLessThan(0.5 * rounded.reduce((a, b) => a + b));
  });

  it('gives the last column plain rounding of its compensated value', async () => {
    // Two columns, H = [[a, b], [b, c]]: the second becomes w1 + e0 · b / (c R) = w1 + (w0 − q0) · b / c before it is rounded.
    const pair = Float64Array.of(2, 1.5, 1.5, 3);
    const factor = await solver.factorize(factorRequest(pair, 2, { damping: 0 }));
    const values = Float32Array.of(0.83, -0.41, -0.27, 0.94);
    const { result } = await solver.sweep({ weight: values, rows: 2, factor, rule: quantizerRule({ ...fourBits, bits: 2 }) });
    for (let row = 0; row < 2; row++) {
      const scale = result.scales[row]!;
      const first = scale * (result.codes[row * 2]! - 2);
      const second = values[row * 2 + 1]! + ((values[row * 2]! - first) * 1.5) / 3;
      expect(result.codes[row * 2 + 1]).toBe(Math.min(Math.max(Math.round(second / scale) + 2, 0), 3));
    }
  });

  it('does not depend on the block size', async () => {
    for (const groupSize of [-1, 16, 24, 80]) {
      for (const staticGroups of [true, false]) {
        const quantizer = { ...fourBits, groupSize, staticGroups };
        const expected = await sweep(quantizer, {}, { blockSize: 128 });
        for (const blockSize of [1, 16, 17, 50]) expect(await sweep(quantizer, {}, { blockSize })).toEqual(expected);
      }
    }
  });

  it('errs by less than 1 % at 8 bits', async () => {
    const { result } = await sweep({ ...fourBits, bits: 8, groupSize: 32 });
    const values = dequantize(result);
    const error = weight.reduce((sum, value, index) => sum + (value - values[index]!) ** 2, 0) / weight.reduce((sum, value) => sum + value ** 2, 0);
    expect(Math.sqrt(error)).toBeLessThan(0.01);
  });

  it('commutes with a permutation of the inputs under act-order', async () => {
    const order = Int32Array.from({ length: size }, (__, index) => (index * 35 + 11) % size);
    const permutedGram = Float64Array.from({ length: size * size }, (__, index) => gram[order[Math.floor(index / size)]! * size + order[index % size]!]!);
    const permutedWeight = Float32Array.from({ length: rows * size }, (__, index) => weight[Math.floor(index / size) * size + order[index % size]!]!);
    for (const groupSize of [-1, 32]) {
      const quantizer = { ...fourBits, groupSize };
      const { result } = await sweep(quantizer, { actOrder: true });
      const factor = await solver.factorize(factorRequest(permutedGram, size, { actOrder: true }));
      const permuted = await solver.sweep({ weight: permutedWeight, rows, factor, rule: quantizerRule(quantizer) });
      const values = dequantize(result);
      expect(dequantize(permuted.result)).toEqual(values.map((__, index) => values[Math.floor(index / size) * size + order[index % size]!]!));
    }
  });

  it('tells which group each column got when groups follow the visiting order', async () => {
    const quantizer = { ...fourBits, groupSize: 32 };
    const factor = await solver.factorize(factorRequest(gram, size, { actOrder: true }));
    const { result } = await solver.sweep({ weight, rows, factor, rule: quantizerRule(quantizer) });
    factor.order!.forEach((column, position) => expect(result.groupIndex![column]).toBe(Math.floor(position / 32)));
    expect((await sweep({ ...quantizer, staticGroups: true }, { actOrder: true })).result.groupIndex).toBeUndefined();
    expect((await sweep(quantizer)).result.groupIndex).toBeUndefined();
    expect((await sweep({ ...quantizer, groupSize: -1 }, { actOrder: true })).result.groupIndex).toBeUndefined();
  });

  it('takes static grids from the original weights and dynamic ones from compensated weights', async () => {
    const quantizer = { ...fourBits, groupSize: 32 };
    const rounded = quantizeMatrix(weight, [rows, size], quantizer, 'float32');
    expect((await sweep({ ...quantizer, staticGroups: true }, { actOrder: true })).result.scales).toEqual(rounded.scales);
    const { scales } = (await sweep(quantizer)).result;
    for (let row = 0; row < rows; row++) {
      expect(scales[row * 3]).toBe(rounded.scales[row * 3]);
      expect(scales[row * 3 + 2]).not.toBe(rounded.scales[row * 3 + 2]);
    }
  });

  it('takes the weights of dead inputs as 0', async () => {
    const withDead = gram.slice();
    for (let index = 0; index < size; index++) withDead[index * size + 40] = withDead[40 * size + index] = 0;
    const factor = await solver.factorize(factorRequest(withDead, size));
    const before = weight.slice();
    const { result } = await solver.sweep({ weight, rows, factor, rule: quantizerRule(fourBits) });
    const values = dequantize(result);
    for (let row = 0; row < rows; row++) expect(values[row * size + 40]).toBe(0);
    expect(weight).toEqual(before);
  });

  it('moves a pruned weight onto its twin, and costs nothing for what is kept', async () => {
    // x0 = x1: removing w0 adds it to w1; the third input is independent.
    const random = createRandom(3);
    const inputs = new Float64Array(300);
    for (let token = 0; token < 100; token++) {
      inputs[token * 3] = inputs[token * 3 + 1] = random() - 0.5;
      inputs[token * 3 + 2] = random() - 0.5;
    }
    const factor = await solver.factorize(factorRequest(gramOf(inputs, 3), 3, { damping: 1e-6 }));
    const rule = valueRule('prune', (position, weights, settled) => (position === 0 ? settled.fill(0) : settled.set(weights)));
    const { result, loss } = await solver.sweep({ weight: Float32Array.of(0.5, 0.25, -1), rows: 1, factor, rule });
    expect(result[0]).toBe(0);
    expect(result[1]).toBeCloseTo(0.75, 4);
    expect(result[2]).toBeCloseTo(-1, 4);
    expect(loss).toBeLessThan(1e-3);
    const kept = await solver.sweep({ weight: Float32Array.of(0.5, 0.25, -1), rows: 1, factor, rule: valueRule('keep', (__, weights, settled) => settled.set(weights)) });
    expect(kept.loss).toBe(0);
    expect([...kept.result]).toEqual([0.5, 0.25, -1]);
  });

  it('refuses weights that are not finite and scales beyond their type', async () => {
    const factor = await solver.factorize(factorRequest(gram, size));
    const broken = weight.slice();
    broken[size + 3] = NaN;
    await expect(solver.sweep({ weight: broken, rows, factor, rule: quantizerRule(fourBits) })).rejects.toMatchObject({
      code: 'PARE_WEIGHT_NOT_FINITE',
      data: { index: size + 3 },
    });
    const huge = weight.map((value) => value * 1e7);
    await expect(solver.sweep({ weight: huge, rows, factor, rule: quantizerRule({ ...fourBits, scaleType: 'float16' }) })).rejects.toMatchObject({ code: 'PARE_SCALE_OVERFLOW' });
    await expect(solver.sweep({ weight, rows: rows + 1, factor, rule: quantizerRule(fourBits) })).rejects.toThrow(RangeError);
    await expect(solver.sweep({ weight, rows, factor, rule: quantizerRule(fourBits), blockSize: 0 })).rejects.toThrow(RangeError);
  });

  it('stops when the signal has fired', async () => {
    const signal = AbortSignal.abort();
    await expect(solver.factorize(factorRequest(gram, size, { signal }))).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    const factor = await solver.factorize(factorRequest(gram, size));
    await expect(solver.sweep({ weight, rows, factor, rule: quantizerRule(fourBits), signal })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});

describe('createColumnSolver', () => {
  it.each([
    ['inline', 0],
    ['threaded', 2],
  ])('stops in the middle of the work and can go on afterwards (%s)', async (_, threads) => {
    const solver = createColumnSolver({ threads });
    const small = factorRequest(identity(8), 8);
    await solver.factorize(small);
    // Large enough that the work outlasts the timer: threads leave this one free, the inline solver gives way every 30 ms.
    const size = 1500;
    const gram = identity(size);
    const controller = new AbortController();
    const running = solver.factorize(factorRequest(gram, size, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 0);
    await expect(running).rejects.toMatchObject({ code: 'PARE_ABORTED' });
    expect((await solver.factorize(small)).upper).toEqual((await referenceColumnSolver.factorize(small)).upper);
    await solver.dispose();
  });

  it('does queued jobs in turn and refuses them after disposal', async () => {
    const solver = createColumnSolver({ threads: 2 });
    const size = 48;
    const { gram } = correlatedInputs(size, 60, 1);
    const jobs = [1, 2, 3].map((damping) => solver.factorize(factorRequest(gram, size, { damping: damping / 100 })));
    for (const [index, factor] of (await Promise.all(jobs)).entries()) {
      expect(factor.upper).toEqual((await referenceColumnSolver.factorize(factorRequest(gram, size, { damping: (index + 1) / 100 }))).upper);
    }
    await solver.dispose();
    await solver.dispose();
    await expect(solver.factorize(factorRequest(gram, size))).rejects.toThrow(/disposed/);
  });

  it('goes on after a job that failed', async () => {
    const gram = identity(4);
    gram[0] = Infinity;
    await expect(inline.factorize(factorRequest(gram, 4))).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE' });
    expect((await inline.factorize(factorRequest(identity(4), 4))).size).toBe(4);
  });

  it('says when a matrix is beyond WebAssembly memory', async () => {
    // A factor that only claims its size: the refusal comes before anything is read.
    const claimed = { size: 60000, order: undefined, upper: new Float32Array(0), damping: 0, dead: new Uint8Array(0), diagonal: new Float64Array(0) };
    await expect(inline.sweep({ weight: new Float32Array(60000), rows: 1, factor: claimed, rule: quantizerRule(fourBits) })).rejects.toMatchObject({
      code: 'PARE_MATRIX_TOO_LARGE',
    });
  });
});
