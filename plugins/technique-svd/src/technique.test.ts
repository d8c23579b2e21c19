import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type FactorizedWeight, type HostTensor, type ModuleInfo, type WeightForm } from '@pare/core';
import { svd as decompose } from '@pare/solvers';
import { runTechnique, type LoneResult } from '@pare/testkit';
import { denseFloat32, storedBits } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { svd, svdOptions, type SvdOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
type Matrix = HostTensor & { readonly data: Float32Array };

function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const random = createRandom(seed);
  return float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));
}

async function factorize(weight: Matrix, options: Partial<SvdOptions> = {}): Promise<LoneResult> {
  await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
  const results = await runTechnique(svd, { options: svdOptions.parse(options), modules: { layer: { weight } }, backend });
  return results.get('layer')!;
}

const factorized = (form: WeightForm): FactorizedWeight => {
  if (form.form !== 'factorized') throw new Error(`it is ${form.form}`);
  return form;
};
const squaredError = (form: WeightForm, { data }: Matrix): number => denseFloat32(factorized(form)).reduce((sum, value, index) => sum + (value - data[index]!) ** 2, 0);

const [rows, columns] = [40, 60];
const weight = randomMatrix(rows, columns, 1);

describe('svd', () => {
  it('errs by the singular values that it leaves out, and less with every rank (Eckart and Young)', async () => {
    const { values } = await decompose({ data: weight.data, rows, columns });
    let before = Infinity;
    for (let rank = 1; rank < 24; rank += 2) {
      const { form, report } = await factorize(weight, { by: 'rank', rank });
      const rest = values.subarray(rank).reduce((sum, value) => sum + value * value, 0);
      expect(report.loss! / rest).toBeCloseTo(1, 10);
      expect(squaredError(form, weight) / rest).toBeCloseTo(1, 4);
      expect(report.details).toEqual({ rank });
      expect(report.loss).toBeLessThan(before);
      before = report.loss!;
    }
  });

  it('takes floor(ratio · out · in / (out + in)) for the rank and stores that much', async () => {
    for (const ratio of [0.1, 0.5, 0.8, 0.99]) {
      const { form } = await factorize(weight, { ratio });
      const rank = Math.floor((ratio * rows * columns) / (rows + columns));
      expect(factorized(form).left.shape).toEqual([rows, rank]);
      expect(factorized(form).right.shape).toEqual([rank, columns]);
      expect(storedBits(form)).toBe(32 * rank * (rows + columns));
    }
    expect(factorized((await factorize(weight, { ratio: 0.001 })).form).left.shape[1]).toBe(1);
    expect(factorized((await factorize(weight, { ratio: 0.8, multipleOf: 8 })).form).left.shape[1]).toBe(16);
    expect(factorized((await factorize(weight, { ratio: 0.1, multipleOf: 8 })).form).left.shape[1]).toBe(8);
  });

  it('splits the singular values evenly', async () => {
    const { left, right } = factorized((await factorize(weight, { by: 'rank', rank: 5 })).form);
    const { values } = await decompose({ data: weight.data, rows, columns });
    const [a, b] = [denseFloat32(left), denseFloat32(right)];
    for (let k = 0; k < 5; k++) {
      const column = a.filter((_, index) => index % 5 === k).reduce((sum, value) => sum + value * value, 0);
      const row = b.subarray(k * columns, (k + 1) * columns).reduce((sum, value) => sum + value * value, 0);
      expect(column).toBeCloseTo(values[k]!, 4);
      expect(row).toBeCloseTo(values[k]!, 4);
    }
  });

  it('recovers a matrix of low rank', async () => {
    const [a, b] = [randomMatrix(rows, 3, 2).data, randomMatrix(3, columns, 3).data];
    const low = float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, (_, index) => [0, 1, 2].reduce((sum, k) => sum + a[Math.floor(index / columns) * 3 + k]! * b[k * columns + (index % columns)]!, 0)));
    for (const options of [{ by: 'rank', rank: 3 }, { by: 'energy', energy: 0.999999999 }] as const) {
      const { form } = await factorize(low, options);
      expect(factorized(form).left.shape[1]).toBe(3);
      expect(squaredError(form, low)).toBeLessThan(1e-9);
    }
  });

  it('keeps the share of the energy asked for with the smallest rank that does', async () => {
    const { values } = await decompose({ data: weight.data, rows, columns });
    const whole = values.reduce((sum, value) => sum + value * value, 0);
    const share = (rank: number): number => values.subarray(0, rank).reduce((sum, value) => sum + value * value, 0) / whole;
    const rank = factorized((await factorize(weight, { by: 'energy', energy: 0.6 })).form).left.shape[1]!;
    expect(share(rank)).toBeGreaterThanOrEqual(0.6);
    expect(share(rank - 1)).toBeLessThan(0.6);
  });

  it('leaves dense, with the reason, what two factors would not make smaller', async () => {
    // 40·60 / 100 = 24: factors of rank 24 are exactly as large.
    const square = { info: info('square', [rows, columns]), options: svdOptions.parse({ by: 'rank', rank: 24 }) };
    const large = { info: info('large', [200, 200]), options: square.options };
    expect(svd.plan([square, large], undefined as never).map(({ produces }) => produces)).toEqual(['dense', 'factorized']);
    expect(() => svd.plan([square], undefined as never)).toThrow(/rank 24.*no smaller.*up to 23/);
    const { form, report } = await factorize(weight, { by: 'energy', energy: 0.9999 });
    expect(form).toEqual({ form: 'dense', shape: [rows, columns], tensor: weight });
    expect(report.fallback).toMatch(/keeps the energy asked for.*no smaller.*up to 23 do; kept dense/);
    expect(factorized((await factorize(weight, { by: 'rank', rank: 23 })).form).left.shape[1]).toBe(23);
  });

  it('leaves embeddings alone', () => {
    expect(svd.check?.({ info: { ...info('table', [100, 8]), kind: 'embedding' }, options: svdOptions.parse({}) })).toMatch(/looked up/);
  });
});

function info(name: string, shape: readonly [number, number]): ModuleInfo {
  return { name, kind: 'linear', role: 'mlp.up', block: 0, expert: undefined, step: 0, shape, layout: 'out-in', dtype: 'float32', bias: false, sharedWith: undefined, form: 'dense' };
}
