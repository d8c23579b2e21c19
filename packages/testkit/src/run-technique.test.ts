import { createRandom, float32Tensor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { expectNoLeaks, leakCheckedBackend, outputError, probeTechnique, runTechnique } from './index.js';

const random = createRandom(3);
const weight = float32Tensor([3, 4], Array.from({ length: 12 }, () => random() - 0.5));
const inputs = float32Tensor([2, 4], [1, 2, 3, 4, 0, 1, 0, 1]);
const options = { bits: 8, groupSize: -1, symmetric: true, sequential: false };

describe('runTechnique', () => {
  it('computes statistics of the inputs that are given', async () => {
    await using backend = await leakCheckedBackend();
    const results = await runTechnique(probeTechnique(), { options, modules: { seen: { weight, inputs }, unseen: { weight } }, backend });
    // The trace of xᵀx is the sum of squares: (1 + 4 + 9 + 16) + (1 + 1), over two rows.
    expect(results.get('seen')?.report).toEqual({ loss: 16, details: { rows: 2 } });
    expect(results.get('unseen')?.report).toEqual({ loss: 0, details: { rows: 0 } });
    expect(backend.memory().tensors).toBe(0);
  });

  it('takes options as recipes write them', async () => {
    await using backend = await leakCheckedBackend();
    const run = async (given?: Partial<typeof options>): Promise<unknown> => (await runTechnique(probeTechnique({ scope: 'tensor' }), { ...(given === undefined ? {} : { options: given }), modules: { a: { weight } }, backend })).get('a')!.form;
    expect(await run({ bits: 8 })).toEqual(await run(options));
    expect(await run()).toEqual(await run({ ...options, bits: 4 }));
    await expect(run({ bits: 9 })).rejects.toMatchObject({ code: 'PARE_OPTIONS_INVALID' });
  });

  it('tells how to declare a statistic that is read undeclared', async () => {
    await using backend = await leakCheckedBackend();
    const undeclared = { ...probeTechnique(), statistics: () => [] };
    await expect(runTechnique(undeclared, { options, modules: { a: { weight, inputs } }, backend })).rejects.toMatchObject({
      code: 'PARE_STATISTIC_UNDECLARED',
      message: 'technique "probe" asked for statistic "gram" of a, which it did not declare',
      help: expect.stringContaining('Return it from statistics(options) of defineTechnique') as string,
    });
  });

  it('leaves the weights that were given as they are', async () => {
    await using backend = await leakCheckedBackend();
    const before = weight.data.slice();
    const results = await runTechnique(probeTechnique({ scope: 'tensor' }), { options, modules: { a: { weight } }, backend });
    expect(weight.data).toEqual(before);
    expect(outputError(results.get('a')!.form, { weight, inputs })).toBeLessThan(0.01);
    expect(outputError({ form: 'dense', shape: [3, 4], tensor: weight }, { weight, inputs })).toBe(0);
  });
});

describe('leakCheckedBackend', () => {
  it('throws at the end when a tensor is left', async () => {
    const backend = await leakCheckedBackend();
    const tensor = backend.allocate('float32', [2]);
    expect(() => {
      expectNoLeaks(backend);
    }).toThrow('1 device tensor(s) of 8 bytes were never disposed');
    tensor[Symbol.dispose]();
    const left = await leakCheckedBackend();
    left.allocate('float32', [2]);
    await expect(left[Symbol.asyncDispose]()).rejects.toThrow('never disposed');
    await backend[Symbol.asyncDispose]();
  });
});
