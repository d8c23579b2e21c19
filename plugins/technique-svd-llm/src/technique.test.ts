import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type FactorizedWeight, type HostTensor, type WeightForm } from '@pare/core';
import { backendProducts, factorsOf } from '@pare/factorization';
import { multiplyTransposed, svd, symmetricEigen, transposed } from '@pare/solvers';
import { outputError, runTechnique, type LoneModule, type LoneResult } from '@pare/testkit';
import { denseFloat32, factorizedWeight, denseWeight } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { svdLlm, svdLlmOptions, type SvdLlmOptions } from './index.js';
import { whiten } from './whitening.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
type Matrix = HostTensor & { readonly data: Float32Array };

function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed);
  return float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));
}

async function factorize(module: LoneModule, options: Partial<SvdLlmOptions> = {}): Promise<LoneResult & { readonly form: FactorizedWeight }> {
  await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
  const results = await runTechnique(svdLlm, { options: svdLlmOptions.parse(options), modules: { layer: module }, backend });
  const result = results.get('layer')!;
  if (result.form.form !== 'factorized') throw new Error(`it is ${result.form.form}`);
  return { ...result, form: result.form };
}

const [rows, columns, tokens] = [24, 32, 200];
const weight = randomMatrix(rows, columns, 1);
/** Inputs whose features depend on each other and differ in size. */
const inputs = ((): Matrix => {
  const mixing = randomMatrix(columns, columns, 2).data;
  const noise = randomMatrix(tokens, columns, 3).data;
  const data = Float32Array.from({ length: tokens * columns }, (_, index) => {
    const [token, column] = [Math.floor(index / columns), index % columns];
    let sum = 0;
    for (let k = 0; k < columns; k++) sum += noise[token * columns + k]! * mixing[k * columns + column]! * 2 ** -(k / 4);
    return sum;
  });
  return float32Tensor([tokens, columns], data);
})();

function gramOf({ data }: Matrix): Float64Array {
  const gram = new Float64Array(columns * columns);
  for (let token = 0; token < data.length / columns; token++) {
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) gram[i * columns + j]! += data[token * columns + i]! * data[token * columns + j]!;
  }
  return gram;
}

const energy = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0);
const largestDifference = (a: WeightForm, b: WeightForm): number => {
  const [x, y] = [denseFloat32(a as FactorizedWeight), denseFloat32(b as FactorizedWeight)];
  return x.reduce((most, value, index) => Math.max(most, Math.abs(value - y[index]!)), 0);
};

describe('svd-llm', () => {
  it('changes the outputs by exactly the singular values of W·L that it leaves out', async () => {
    const { root } = whiten(gramOf(inputs), columns, 1e-12)!;
    const scaled = await multiplyTransposed({ data: weight.data, rows, columns }, transposed({ data: root, rows: columns, columns }));
    const { values } = await svd(scaled);
    for (const rank of [1, 4, 9, 13]) {
      const { form, report } = await factorize({ weight, inputs }, { by: 'rank', rank, damping: 1e-12 });
      const rest = energy(values.subarray(rank));
      expect(Math.abs(outputError(form, { weight, inputs }) / rest - 1)).toBeLessThan(1e-4);
      expect(Math.abs((report.loss! * tokens) / rest - 1)).toBeLessThan(1e-4);
      expect(report.details).toEqual({ rank, tokens, damping: 1e-12 });
    }
  });

  it('is plain SVD for inputs that are orthonormal', async () => {
    const identity = float32Tensor([columns, columns], Float32Array.from({ length: columns ** 2 }, (_, index) => (index % (columns + 1) === 0 ? 1 : 0)));
    const options = svdLlmOptions.parse({ by: 'rank', rank: 6 });
    const info = { shape: [rows, columns], dtype: 'float32' } as never;
    await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
    await using products = backendProducts(backend);
    const plain = (await factorsOf({ data: weight.data, rows, columns }, { info, options }, { products, signal: new AbortController().signal }))!;
    const form = factorizedWeight(denseWeight(Float32Array.from(plain.left.data), [rows, 6], 'float32'), denseWeight(Float32Array.from(plain.right.data), [6, columns], 'float32'));
    expect(largestDifference((await factorize({ weight, inputs: identity }, { by: 'rank', rank: 6 })).form, form)).toBeLessThan(1e-5);
  });

  it('errs less than plain SVD, and than SVD scaled by input norms, at equal rank', async () => {
    const diagonal = gramOf(inputs).filter((_, index) => index % (columns + 1) === 0).map(Math.sqrt);
    for (const rank of [2, 7, 12]) {
      const best = outputError((await factorize({ weight, inputs }, { by: 'rank', rank })).form, { weight, inputs });
      for (const scales of [diagonal.map(() => 1), diagonal]) {
        const { left, values, right } = await svd({ data: weight.data.map((value, index) => value * scales[index % columns]!), rows, columns });
        const product = Float32Array.from({ length: rows * columns }, (_, index) => {
          let sum = 0;
          for (let k = 0; k < rank; k++) sum += left.data[Math.floor(index / columns) * left.columns + k]! * values[k]! * right.data[k * columns + (index % columns)]!;
          return sum / scales[index % columns]!;
        });
        expect(best).toBeLessThan(outputError(denseWeight(product, [rows, columns], 'float32'), { weight, inputs }));
      }
    }
  });

  it('gives what any square root of the Gram matrix gives', async () => {
    const rank = 8;
    // The symmetric root V·√λ·Vᵀ in place of L.
    const { values, vectors } = await symmetricEigen({ data: gramOf(inputs), rows: columns, columns });
    const power = (exponent: number): Float64Array => {
      const result = new Float64Array(columns ** 2);
      for (let k = 0; k < columns; k++) for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) result[i * columns + j]! += vectors.data[k * columns + i]! * values[k]! ** exponent * vectors.data[k * columns + j]!;
      return result;
    };
    const scaled = await multiplyTransposed({ data: weight.data, rows, columns }, { data: power(0.5), rows: columns, columns });
    const { left, values: sigma, right } = await svd(scaled);
    const whitened = await multiplyTransposed({ data: right.data.slice(0, rank * columns), rows: rank, columns }, { data: power(-0.5), rows: columns, columns });
    const a = Float32Array.from({ length: rows * rank }, (_, index) => left.data[Math.floor(index / rank) * left.columns + (index % rank)]! * sigma[index % rank]!);
    const form = factorizedWeight(denseWeight(a, [rows, rank], 'float32'), denseWeight(Float32Array.from(whitened.data), [rank, columns], 'float32'));
    expect(largestDifference((await factorize({ weight, inputs }, { by: 'rank', rank, damping: 1e-12 })).form, form)).toBeLessThan(1e-3);
  });

  it('does not notice when an input grows as its weights shrink', async () => {
    const factor = (index: number): number => 2 ** (((index % columns) % 7) - 3);
    const first = await factorize({ weight, inputs }, { damping: 1e-12 });
    const changed = { weight: float32Tensor(weight.shape, weight.data.map((value, index) => value / factor(index))), inputs: float32Tensor(inputs.shape, inputs.data.map((value, index) => value * factor(index))) };
    const second = await factorize(changed, { damping: 1e-12 });
    expect(second.report.loss! / first.report.loss!).toBeCloseTo(1, 4);
  });

  it('balances its factors', async () => {
    const { form } = await factorize({ weight, inputs }, { by: 'rank', rank: 4 });
    const [a, b] = [denseFloat32(form.left), denseFloat32(form.right)];
    for (let k = 0; k < 4; k++) {
      const column = a.filter((_, index) => index % 4 === k).reduce((sum, value) => sum + value * value, 0);
      const row = b.subarray(k * columns, (k + 1) * columns).reduce((sum, value) => sum + value * value, 0);
      expect(column / row).toBeCloseTo(1, 4);
    }
  });

  it('takes inputs that never occur, and fewer tokens than inputs', async () => {
    const dead = float32Tensor(inputs.shape, inputs.data.map((value, index) => (index % columns < 5 ? 0 : value)));
    expect((await factorize({ weight, inputs: dead })).form.left.shape[1]).toBe(Math.floor((0.8 * rows * columns) / (rows + columns)));
    const few = float32Tensor([10, columns], inputs.data.slice(0, 10 * columns));
    const { form, report } = await factorize({ weight, inputs: few }, { minimumTokens: 1, by: 'rank', rank: 10 });
    // Ten tokens span ten directions: rank 10 gives their outputs exactly.
    expect(outputError(form, { weight, inputs: few }) / few.data.reduce((sum, value) => sum + value * value, 0)).toBeLessThan(1e-4);
    expect(report.fallback).toBeUndefined();
    expect((await factorize({ weight, inputs: few })).report.fallback).toMatch(/only 10 calibration tokens.*without regard to inputs/);
    expect((await factorize({ weight, inputs: float32Tensor([40, columns], new Float32Array(40 * columns)) })).report.fallback).toMatch(/always zero/);
  });

  it('raises the damping until the Gram matrix has a root, and refuses what is not finite', () => {
    // Indefinite by more than a thousandth of its mean.
    const gram = Float64Array.of(1, 1.005, 1.005, 1);
    expect(whiten(gram, 2, 1e-6)!.damping).toBeCloseTo(0.01, 10);
    expect(() => whiten(Float64Array.of(1, 5, 5, 1), 2, 1e-6)).toThrow(expect.objectContaining({ code: 'PARE_FACTORIZATION_FAILED' }) as Error);
    expect(() => whiten(Float64Array.of(1, 0, 0, Infinity), 2, 1e-6)).toThrow(expect.objectContaining({ code: 'PARE_STATISTIC_NOT_FINITE' }) as Error);
    expect(whiten(new Float64Array(4), 2, 1e-6)).toBeUndefined();
  });
});
