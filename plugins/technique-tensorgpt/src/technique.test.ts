import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type HostTensor, type ModuleInfo, type TensorTrainWeight, type WeightForm } from '@pare/core';
import { runTechnique, type LoneResult } from '@pare/testkit';
import { denseFloat32, storedBits } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { tensorgpt, tensorGptOptions, type TensorGptOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const random = createRandom(3);
const table = (rows: number, columns: number): HostTensor & { readonly data: Float32Array } =>
  float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));

async function compress(weight: HostTensor & { readonly data: Float32Array }, options: Partial<TensorGptOptions> = {}): Promise<LoneResult> {
  await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
  return (await runTechnique(tensorgpt, { options: tensorGptOptions.parse(options), modules: { table: { weight } }, backend })).get('table')!;
}

const trains = (form: WeightForm): TensorTrainWeight => {
  if (form.form !== 'tensor-train') throw new Error(`it is ${form.form}`);
  return form;
};
const target = (shape: readonly [number, number], options: Partial<TensorGptOptions> = {}, dtype: ModuleInfo['dtype'] = 'float32') => ({
  info: { name: 'table', kind: 'embedding', role: 'embedding', block: undefined, expert: undefined, step: 0, shape, layout: 'out-in', dtype, bias: false, sharedWith: undefined, form: 'dense' } satisfies ModuleInfo,
  options: tensorGptOptions.parse(options),
});

describe('tensorgpt', () => {
  it.each([
    [1, 38.4],
    [2, 10.67],
    [3, 5.49],
    [4, 3.31],
  ])('with rank %i stores 768 numbers, folded to 2^10, %f times smaller', async (maxRank, ratio) => {
    const { form, report } = await compress(table(6, 768), { maxRank });
    expect((6 * 768 * 32) / storedBits(trains(form))).toBeCloseTo(ratio, 2);
    expect(trains(form).sizes).toEqual(Array.from({ length: 10 }, () => 2));
    expect(report.details!['numbersPerToken']).toBe(storedBits(form) / 32 / 6);
    const [plan] = tensorgpt.plan([target([6, 768], { maxRank })], undefined as never);
    expect(plan!.storedBits).toBe(storedBits(form));
  });

  it('reports the square error of what is stored', async () => {
    const weight = table(9, 48);
    const { form, report } = await compress(weight, { factors: [4, 3, 4], maxRank: 2 });
    const decoded = denseFloat32(trains(form));
    const error = weight.data.reduce((sum, value, index) => sum + (value - decoded[index]!) ** 2, 0);
    expect(report.loss! / error).toBeCloseTo(1, 6);
    expect(report.details!['meanRelativeError']).toBeGreaterThan(0.3);
    expect(report.details!['meanRelativeError']).toBeLessThan(0.95);
  });

  it('compresses each token by itself', async () => {
    const weight = table(8, 64);
    const whole = denseFloat32(trains((await compress(weight, { maxRank: 2 })).form));
    const one = denseFloat32(trains((await compress(float32Tensor([1, 64], weight.data.slice(5 * 64, 6 * 64)), { maxRank: 2 })).form));
    expect(one).toEqual(whole.slice(5 * 64, 6 * 64));
  });

  it('keeps embeddings that have structure, and zeros', async () => {
    const weight = table(3, 64);
    // Outer products of six pairs, and a token that was never used.
    for (let index = 0; index < 64; index++) {
      const bits = Array.from({ length: 6 }, (_, bit) => (index >> bit) & 1);
      weight.data[index] = bits.reduce((product, bit, place) => product * (bit === 1 ? 0.5 + place / 10 : 1.3), 1);
      weight.data[64 + index] = 0;
    }
    const { form } = await compress(weight, { maxRank: 1 });
    const decoded = denseFloat32(trains(form));
    for (let index = 0; index < 64; index++) {
      expect(decoded[index]).toBeCloseTo(weight.data[index]!, 5);
      expect(decoded[64 + index]).toBe(0);
    }
  });

  it('takes the ranks that a tolerance needs, for all tokens the same', async () => {
    const weight = table(20, 64);
    for (let index = 0; index < weight.data.length; index++) weight.data[index]! *= 0.8 ** (index % 64);
    const { form, report } = await compress(weight, { tolerance: 0.2, maxRank: 8 });
    const decoded = denseFloat32(trains(form));
    for (let row = 0; row < 20; row++) {
      let [error, energy] = [0, 0];
      for (let column = row * 64; column < (row + 1) * 64; column++) {
        error += (weight.data[column]! - decoded[column]!) ** 2;
        energy += weight.data[column]! ** 2;
      }
      expect(Math.sqrt(error / energy)).toBeLessThanOrEqual(0.2);
    }
    expect(report.details!['maxRank']).toBeLessThan(8);
    const [plan] = tensorgpt.plan([target([20, 64], { tolerance: 0.2, maxRank: 8 })], undefined as never);
    expect(plan).toMatchObject({ produces: 'tensor-train', estimated: true });
  });

  it('leaves the table as it is, with the reason, where a tolerance saves nothing', async () => {
    const weight = table(5, 64);
    const { form, report } = await compress(weight, { tolerance: 0.001, maxRank: 8 });
    expect(form).toEqual({ form: 'dense', shape: [5, 64], tensor: weight });
    expect(report.fallback).toMatch(/tolerance 0.001 takes ranks 2, 4, 8, 4, 2, 168 numbers a token, and the token itself has 64; kept dense/);
  });

  it('counts half-precision numbers as such, and is for tables only', () => {
    const [plan] = tensorgpt.plan([target([50, 768], {}, 'bfloat16')], undefined as never);
    expect(plan!.storedBits).toBe(50 * 232 * 16);
    const { info, options } = target([50, 768]);
    expect(tensorgpt.check!({ info: { ...info, kind: 'linear' }, options })).toMatch(/it is a linear matrix.*targets \["embedding"\]/);
    expect(tensorgpt.check!({ info, options })).toBeUndefined();
  });
});
