import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type FactorizedWeight, type ModulePlan, type WeightForm } from '@pare/core';
import { runTechnique, type LoneResult } from '@pare/testkit';
import { denseFloat32, denseWeight, factorizedWeight, quantizeMatrix, sparseWeight, squaredError, storedBits } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { rtn, rtnOptions, type RtnOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const [rows, columns, rank] = [24, 64, 16];
const random = createRandom(4);
const numbers = (count: number): Float32Array => Float32Array.from({ length: count }, () => random() + random() - 1);
// Singular values that fall by a factor of a thousand, split evenly, as techniques hand factors in.
const fall = (k: number): number => 10 ** (-1.5 * (k / rank));
const left = numbers(rows * rank).map((value, index) => value * fall(index % rank));
const right = numbers(rank * columns).map((value, index) => value * fall(Math.floor(index / columns)));
const form = factorizedWeight(denseWeight(left, [rows, rank], 'float32'), denseWeight(right, [rank, columns], 'float32'));
const before: ModulePlan = { module: 'layer', produces: 'factorized', storedBits: storedBits(form), rank, flops: 0, workingBytes: 0 };
const parse = (options: Partial<RtnOptions>): RtnOptions => rtnOptions.parse({ groupSize: 16, bits: 8, ...options });

function target(options: Partial<RtnOptions>, stage: Partial<ModulePlan> = {}) {
  const info = { name: 'layer', kind: 'linear', role: 'mlp.up', block: 0, expert: undefined, step: 0, shape: [rows, columns], layout: 'out-in', dtype: 'float32', bias: false, sharedWith: undefined, form: 'dense' } as const;
  return { info, options: parse(options), before: { ...before, ...stage } };
}

async function round(options: Partial<RtnOptions>, given: WeightForm = form, stage: Partial<ModulePlan> = {}): Promise<LoneResult> {
  await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
  const weight = float32Tensor([rows, columns], denseFloat32(form));
  const results = await runTechnique(rtn, { options: parse(options), modules: { layer: { weight, form: given, before: { ...before, ...stage } } }, backend });
  return results.get('layer')!;
}

const factorized = (result: LoneResult): FactorizedWeight => {
  if (result.form.form !== 'factorized') throw new Error(`it is ${result.form.form}`);
  return result.form;
};
describe('rtn after a factorization', () => {
  it.each([{}, { bits: 4, symmetric: false }, { granularity: 'channel' }, { granularity: 'tensor' }, { groupSize: -1, clip: 'mse' }] as const)('rounds both factors as it planned, %o', async (options) => {
    expect(rtn.check!(target(options))).toBeUndefined();
    const [plan] = rtn.plan([target(options)], undefined as never);
    const result = await round(options);
    const { left: a, right: b } = factorized(result);
    expect([a.form, b.form]).toEqual(['quantized', 'quantized']);
    expect([a.shape, b.shape]).toEqual([[rows, rank], [rank, columns]]);
    expect(plan).toMatchObject({ produces: 'factorized', rank, bits: parse(options).bits, storedBits: storedBits(result.form) });
    expect(plan!.estimated).toBeUndefined();
    expect(result.report).toMatchObject({ details: { rank } });
    expect(result.report.fallback).toBeUndefined();
  });

  it('changes the product by less than a hundredth with eight bits, and sums the loss of both factors', async () => {
    const { form: rounded, report } = await round({});
    const product = denseFloat32(form);
    const error = denseFloat32(rounded as FactorizedWeight).reduce((sum, value, index) => sum + (value - product[index]!) ** 2, 0);
    expect(error / product.reduce((sum, value) => sum + value ** 2, 0)).toBeLessThan(1e-4);
    const quantizer = { bits: 8, symmetric: true, groupSize: 16 };
    const codes = [quantizeMatrix(left, [rows, rank], quantizer, 'float32'), quantizeMatrix(right, [rank, columns], quantizer, 'float32')] as const;
    expect(rounded).toEqual(factorizedWeight(...codes));
    expect(report.loss).toBe(squaredError(left, codes[0]) + squaredError(right, codes[1]));
  });

  it('takes factors of zeros, factors with codes and sparse ones', async () => {
    const zeros = factorizedWeight(denseWeight(new Float32Array(rows * rank), [rows, rank], 'float32'), denseWeight(new Float32Array(rank * columns), [rank, columns], 'float32'));
    expect(denseFloat32(factorized(await round({}, zeros))).every((value) => value === 0)).toBe(true);
    expect(factorized(await round({ bits: 4 }, (await round({})).form)).left).toMatchObject({ form: 'quantized', scheme: { bits: 4 } });
    const mask = Uint8Array.from({ length: rank * columns }, (_, index) => (index % 4 < 2 ? 1 : 0));
    const sparse = factorizedWeight(form.left, sparseWeight(denseWeight(right, [rank, columns], 'float32'), { kind: 'grouped', zeros: 2, group: 4 }, mask));
    const { right: kept } = factorized(await round({}, sparse));
    expect(kept).toMatchObject({ form: 'sparse', mask, values: { form: 'quantized' } });
    denseFloat32(kept).forEach((value, index) => {
      if (mask[index] === 0) expect(value).toBe(0);
    });
  });

  it('refuses groups that a known rank is no multiple of, with the way out', () => {
    expect(rtn.check!(target({ groupSize: 32 }))).toBe(
      'groupSize 32 does not divide its rank, 16, which its left factor has for inputs; sizes that do: -1, 8, 16; or let the stage that factorizes round ranks with multipleOf: 32',
    );
    expect(rtn.check!(target({ groupSize: 24 }))).toMatch(/does not divide its 64 inputs/);
    expect(rtn.check!(target({ groupSize: 32 }, { produces: 'dense', rank: undefined }))).toBeUndefined();
  });

  it('leaves the left factor as it is where a rank turns out to be no multiple, and what stayed dense becomes codes', async () => {
    const unknown = { rank: undefined, estimated: true };
    expect(rtn.check!(target({ groupSize: 32 }, unknown))).toBeUndefined();
    // As large as the stage before was planned: rank 16.
    expect(rtn.plan([target({}, unknown)], undefined as never)).toMatchObject([{ produces: 'factorized', bits: 8, estimated: true, storedBits: storedBits((await round({})).form) }]);
    const result = await round({ groupSize: 32 }, form, unknown);
    expect(factorized(result).left).toEqual(form.left);
    expect(factorized(result).right.form).toBe('quantized');
    expect(result.report.fallback).toMatch(/left factor stays as it is: groupSize 32 does not divide its rank, 16/);
    const dense = { form: 'dense', shape: [rows, columns], tensor: float32Tensor([rows, columns], denseFloat32(form)) } as const;
    expect((await round({ groupSize: 32 }, dense, unknown)).form).toMatchObject({ form: 'quantized', scheme: { groupSize: 32 } });
  });

  it('stops when it is cancelled', async () => {
    await using backend = await Promise.resolve(referenceBackend.create({}, { log }));
    const weight = float32Tensor([rows, columns], denseFloat32(form));
    await expect(runTechnique(rtn, { options: parse({}), modules: { layer: { weight, form, before } }, backend, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'PARE_ABORTED' });
  });
});
