import { float32Tensor, type Backend, type DeviceTensor } from '@pare/core';
import { referenceBackend } from '@pare/backend-reference';
import { expectNoLeaks } from '@pare/testkit';
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeviceOptimizer } from './device-optimizer.js';
import { adamW, sgd, type Optimizer } from './optimizer.js';
import { schedule } from './schedule.js';

interface Golden {
  readonly start: readonly (readonly number[])[];
  readonly rates: readonly number[];
  readonly gradients: readonly (readonly (readonly number[])[])[];
  readonly results: Readonly<Record<string, { readonly trace: readonly (readonly number[])[]; readonly norms: readonly number[] }>>;
}

const golden = JSON.parse(await readFile(new URL('../../golden/optimizers.json', import.meta.url), 'utf8')) as Golden;
const optimizers: Readonly<Record<string, Optimizer>> = {
  adamw: adamW({ beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1 }),
  'adamw without decay': adamW({ weightDecay: 0 }),
  sgd: sgd(),
  momentum: sgd({ momentum: 0.9, weightDecay: 0.05 }),
  nesterov: sgd({ momentum: 0.9, nesterov: true }),
  'clipped adamw': adamW(),
};

let backend: Backend;
beforeEach(async () => {
  backend = await referenceBackend.create({}, { log: console });
});
afterEach(async () => {
  expectNoLeaks(backend);
  await backend[Symbol.asyncDispose]();
});

describe('optimizers', () => {
  it.each(Object.keys(optimizers))('go the way of torch: %s', async (name) => {
    const parameters = new Map<string, DeviceTensor>([['weight', backend.write(float32Tensor([2, 3], golden.start.flat()))]]);
    {
      await using device = new DeviceOptimizer({ backend, optimizer: optimizers[name]!, parameters, trainable: ['weight'] });
      const { trace, norms } = golden.results[name]!;
      for (const [step, expected] of trace.entries()) {
        using gradient = backend.write(float32Tensor([2, 3], golden.gradients[step]!.flat()));
        const gradients = new Map([['weight', gradient]]);
        const norm = await device.norm(gradients);
        if (norms.length > 0) expect(norm).toBeCloseTo(norms[step]!, 5);
        await device.step(gradients, step + 1, golden.rates[step]!, norms.length > 0 ? Math.min(1, 0.7 / (norm + 1e-6)) : 1);
        const { data } = await backend.read(parameters.get('weight')!);
        for (const [index, value] of expected.entries()) expect(data[index], `step ${String(step)}`).toBeCloseTo(value, 5);
      }
    }
    parameters.get('weight')![Symbol.dispose]();
  });

  it('spares norms and biases from weight decay', async () => {
    const parameters = new Map(['matrix', 'norm'].map((name): [string, DeviceTensor] => [name, backend.write(float32Tensor(name === 'norm' ? [2] : [1, 2], [1, 1]))]));
    {
      await using device = new DeviceOptimizer({ backend, optimizer: adamW({ weightDecay: 0.5 }), parameters, trainable: ['matrix', 'norm'] });
      using matrix = backend.write(float32Tensor([1, 2]));
      using norm = backend.write(float32Tensor([2]));
      await device.step(new Map([['matrix', matrix], ['norm', norm]]), 1, 0.1);
    }
    expect(Array.from((await backend.read(parameters.get('norm')!)).data as Float32Array)).toEqual([1, 1]);
    expect(Array.from((await backend.read(parameters.get('matrix')!)).data as Float32Array)).toEqual([Math.fround(0.95), Math.fround(0.95)]);
    for (const tensor of parameters.values()) tensor[Symbol.dispose]();
  });

  it('refuse settings that cannot work', () => {
    expect(() => adamW({ beta1: 1 })).toThrow('beta1 is 1');
    expect(() => sgd({ momentum: -0.1 })).toThrow('momentum is -0.1');
  });
});

describe('schedule', () => {
  it('rises in the warm-up and falls to its end', () => {
    const rates = (decay: 'constant' | 'linear' | 'cosine'): number[] => {
      const rate = schedule({ rate: 1, decay, warmup: 2, steps: 7, final: 0.1 });
      return Array.from({ length: 8 }, (_, step) => Number(rate(step).toFixed(4)));
    };
    expect(rates('constant')).toEqual([0.5, 1, 1, 1, 1, 1, 1, 1]);
    expect(rates('linear')).toEqual([0.5, 1, 1, 0.775, 0.55, 0.325, 0.1, 0.1]);
    expect(rates('cosine')).toEqual([0.5, 1, 1, 0.8682, 0.55, 0.2318, 0.1, 0.1]);
  });
});
