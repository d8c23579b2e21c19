import { describe, expect, expectTypeOf, it } from 'vitest';
import { createTensorScope, type DeviceTensor } from './backend.js';
import { allocateArray, dtypeBytes, viewAs } from './dtype.js';
import { noOptions } from './plugin.js';
import { pluginKind } from './any-plugin.js';
import { createRandom } from './random.js';
import { provide, serviceRef } from './service.js';
import { defineTechnique } from './technique.js';
import { float32Tensor, hostTensor, int64Tensor } from './tensor.js';

describe('storage', () => {
  it('packs sub-byte types two to a byte', () => {
    expect(dtypeBytes('int4', 5)).toBe(3);
    expect(allocateArray('uint4', 5)).toHaveLength(3);
  });

  it('copies only when the offset is not aligned', () => {
    const buffer = new ArrayBuffer(16);
    expect(viewAs('float32', buffer, 4, 2).buffer).toBe(buffer);
    expect(viewAs('float32', buffer, 2, 2).buffer).not.toBe(buffer);
  });

  it('refuses data that does not have the shape', () => {
    expect(() => float32Tensor([2, 3], [1, 2])).toThrow(/6 elements of storage, got 2/);
    expect(hostTensor('int4', [3], new Uint8Array(2)).data).toHaveLength(2);
    expect(int64Tensor([2], [1, -1]).data).toEqual(BigInt64Array.of(1n, -1n));
  });
});

describe('a tensor scope', () => {
  const fake = (log: string[], name: string): DeviceTensor => {
    let disposed = false;
    return {
      dtype: 'float32',
      shape: [],
      byteLength: 4,
      get disposed() {
        return disposed;
      },
      [Symbol.dispose]() {
        disposed = true;
        log.push(name);
      },
    };
  };

  it('disposes what it owns in reverse order, less what was kept or is gone', () => {
    const log: string[] = [];
    const kept = fake(log, 'kept');
    {
      using scope = createTensorScope();
      scope.own(fake(log, 'first'));
      scope.own(kept);
      scope.own(fake(log, 'second'));
      scope.own(fake(log, 'early'))[Symbol.dispose]();
      scope.keep(kept);
    }
    expect(log).toEqual(['early', 'second', 'first']);
    expect(kept.disposed).toBe(false);
  });
});

describe('plugins', () => {
  it('are tagged plain objects', () => {
    const technique = defineTechnique({
      ...{ id: 'none', api: 1, title: 'None', summary: 'Changes nothing.', family: 'quantization', scope: 'tensor', options: noOptions },
      accepts: ['dense'],
      produces: ['dense'],
      plan: () => [],
      apply: async () => {},
    });
    expect(pluginKind(technique)).toBe('technique');
    expect(pluginKind({ $$type: '@pare/other' })).toBeUndefined();
    expect(pluginKind(null)).toBeUndefined();
  });

  it('type their services', () => {
    const answer = serviceRef<number>('test.answer');
    const text = provide(serviceRef<string>('test.text'), { answer }, (deps) => {
      expectTypeOf(deps.answer).toEqualTypeOf<number>();
      return String(deps.answer);
    });
    expect(text.create({ answer: 42 })).toBe('42');
    // @ts-expect-error a number is not a string service
    provide(serviceRef<string>('test.text'), {}, () => 1);
  });

  it('refuse options where there are none', () => {
    expect(noOptions['~standard'].validate({ bits: 4 })).toHaveProperty('issues');
    expect(noOptions['~standard'].validate(undefined)).toEqual({ value: {} });
  });
});

describe('createRandom', () => {
  it('gives the same stream for a seed and another for another', () => {
    const take = (seed: number): number[] => {
      const random = createRandom(seed);
      return Array.from({ length: 1000 }, () => random());
    };
    expect(take(7)).toEqual(take(7));
    expect(take(7)).not.toEqual(take(8));
    const values = take(1);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    expect(values.reduce((a, b) => a + b) / 1000).toBeCloseTo(0.5, 1);
  });
});
