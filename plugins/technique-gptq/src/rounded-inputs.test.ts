import { createRandom, float32Tensor, type QuantizedWeight } from '@pare/core';
import { referenceBackend } from '@pare/backend-reference';
import { runTechnique } from '@pare/testkit';
import { describe, expect, it } from 'vitest';
import { gptq } from './index.js';
import { moduleInfo, options } from './testing.js';

const [rows, size, tokens] = [6, 32, 64];
const random = createRandom(4);
const weight = float32Tensor([rows, size], Float32Array.from({ length: rows * size }, () => random() - 0.5));
const inputs = float32Tensor([tokens, size], Float32Array.from({ length: tokens * size }, () => 4 * random() - 2));
const largest = inputs.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

async function apply(changes: Parameters<typeof options>[0], given = inputs) {
  await using backend = await referenceBackend.create({}, { log: console });
  const results = await runTechnique(gptq, { options: options({ bits: 8, groupSize: -1, ...changes }), modules: { layer: { weight, inputs: given } }, backend });
  const { form, report } = results.get('layer')!;
  return { form: form as QuantizedWeight, report };
}

describe('gptq with rounded inputs', () => {
  it('leaves inputs alone unless told to', async () => {
    const { form } = await apply({});
    expect(form.input).toBeUndefined();
    expect(gptq.statistics?.(options()).map(({ id }) => id)).toEqual(['gram']);
  });

  it('takes the codes that it takes without, and says how inputs are rounded', async () => {
    const plain = await apply({});
    const token = await apply({ activations: 'dynamic-token' });
    expect(token.form.input).toEqual({ bits: 8, symmetric: true, granularity: 'token', dynamic: true });
    expect(token.form.codes).toEqual(plain.form.codes);
    const still = await apply({ activations: 'static-tensor' });
    expect(still.form.input).toEqual({ bits: 8, symmetric: true, granularity: 'tensor', dynamic: false, scale: Math.fround(largest / 127) });
    expect(still.form.codes).toEqual(plain.form.codes);
  });

  it('stores a static scale in the type of the others', async () => {
    const { scale } = (await apply({ activations: 'static-tensor', scaleType: 'bfloat16' })).form.input!;
    expect(Math.abs(scale! / (largest / 127) - 1)).toBeLessThan(2 ** -8);
    expect(new Uint32Array(Float32Array.of(scale!).buffer)[0]! & 0xffff).toBe(0);
  });

  it('takes no static scale from a few tokens', async () => {
    const few = float32Tensor([3, size], inputs.data.slice(0, 3 * size));
    const { form, report } = await apply({ activations: 'static-tensor' }, few);
    expect(form.input?.granularity).toBe('token');
    expect(report.fallback).toMatch(/only 3 calibration tokens.*inputs by token/);
  });

  it('refuses inputs that are not finite', async () => {
    const data = inputs.data.slice();
    data[5] = Infinity;
    await expect(apply({ activations: 'static-tensor' }, float32Tensor(inputs.shape, data))).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE' });
  });

  it('plans for them', () => {
    const target = (activations: 'none' | 'dynamic-token' | 'static-tensor') => ({ info: moduleInfo('m', [rows, size]), options: options({ bits: 8, groupSize: -1, activations }) });
    const [none, token, still] = gptq.plan([target('none'), target('dynamic-token'), target('static-tensor')], { modules: [] } as never);
    expect([none!.input, token!.input?.granularity, still!.input?.granularity]).toEqual([undefined, 'token', 'tensor']);
    expect([token!.storedBits, still!.storedBits]).toEqual([none!.storedBits, none!.storedBits + 32]);
    expect(gptq.check?.({ ...target('dynamic-token'), info: moduleInfo('m', [rows, size], { kind: 'embedding' }) })).toMatch(/no inputs to round/);
  });
});
