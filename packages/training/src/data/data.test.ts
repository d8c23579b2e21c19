import { describe, expect, it } from 'vitest';
import { windowBatches } from './batches.js';
import { TrainingOrder } from './order.js';
import { packExamples, padExamples, promptExample } from './windows.js';

const list = (windows: readonly { ids: Int32Array; mask: Uint8Array }[]): [number[], number[]][] => windows.map(({ ids, mask }) => [[...ids], [...mask]]);

describe('windows', () => {
  const example = promptExample(Int32Array.of(1, 2), Int32Array.of(3, 4, 5));

  it('pack examples without padding', () => {
    const windows = packExamples([example, { ids: Int32Array.of(6, 7) }, { ids: Int32Array.of(8, 9) }], { length: 5, separator: 0 });
    expect(list(windows)).toEqual([
      [[1, 2, 3, 4, 5], [0, 0, 1, 1, 1]],
      [[0, 6, 7, 0, 8], [1, 1, 1, 1, 1]],
    ]);
  });

  it('hold one example each when they are padded', () => {
    const windows = padExamples([example, { ids: Int32Array.of(6) }, promptExample(new Int32Array(9), Int32Array.of(1))], { length: 6, padding: 99, end: 0 });
    expect(list(windows)).toEqual([
      [[1, 2, 3, 4, 5, 0], [0, 0, 1, 1, 1, 1]],
      [[6, 0, 99, 99, 99, 99], [1, 1, 0, 0, 0, 0]],
    ]);
  });

  it('refuse lengths and masks that do not fit', () => {
    expect(() => packExamples([], { length: 1 })).toThrow('windows of 1 tokens');
    expect(() => padExamples([{ ids: Int32Array.of(1, 2), mask: Uint8Array.of(1) }], { length: 4, padding: 0 })).toThrow('a mask of 1 for 2 tokens');
  });
});

describe('TrainingOrder', () => {
  it('passes over every item once, each time in another order that the seed decides', () => {
    const order = new TrainingOrder({ count: 10, order: 'shuffled', seed: 5 });
    const passes = [0, 1].map((pass) => order.slice(10 * pass, 10));
    for (const pass of passes) expect([...pass].sort((left, right) => left - right)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(passes[0]).not.toEqual(passes[1]);
    expect(new TrainingOrder({ count: 10, order: 'shuffled', seed: 5 }).slice(7, 6)).toEqual([...passes[0]!.slice(7), ...passes[1]!.slice(0, 3)]);
    expect(new TrainingOrder({ count: 10, order: 'shuffled', seed: 6 }).slice(0, 10)).not.toEqual(passes[0]);
  });

  it('goes from easy to hard once', () => {
    const order = new TrainingOrder({ count: 4, order: 'curriculum', seed: 1, difficulty: [3, 1, 2, 1] });
    expect(order.slice(0, 4)).toEqual([1, 3, 2, 0]);
    expect([...order.slice(4, 4)].sort()).toEqual([0, 1, 2, 3]);
    expect(new TrainingOrder({ count: 3, order: 'given', seed: 1 }).slice(1, 4)).toEqual([1, 2, 0, 1]);
    expect(() => new TrainingOrder({ count: 4, order: 'curriculum', seed: 1 })).toThrow('needs the difficulty of each');
    expect(() => new TrainingOrder({ count: 0, order: 'given', seed: 1 })).toThrow('0 items');
  });
});

describe('windowBatches', () => {
  it('cuts a step into batches whose weights add up to one', () => {
    const windows = packExamples([promptExample(Int32Array.of(1, 2, 3), Int32Array.from({ length: 12 }, (_, index) => index))], { length: 5 });
    const batches = windowBatches({ windows, order: new TrainingOrder({ count: 3, order: 'given', seed: 0 }), batchSize: 3, microBatch: 2 })(0);
    expect(batches.map(({ ids }) => ids.shape)).toEqual([[2, 5], [1, 5]]);
    const weights = batches.flatMap(({ inputs }) => Array.from((inputs['weights'] as { data: Float32Array }).data));
    expect(weights.reduce((left, right) => left + right)).toBeCloseTo(1, 6);
    expect(weights.filter((weight) => weight > 0)).toHaveLength(2 + 4 + 4);
  });
});
