import { type HostTensor } from '@pare/core';
import { describe, expect, it } from 'vitest';
import { taskBatches, tasksIdentity, type Task } from './task-batches.js';
import { promptExample } from './windows.js';

const example = (prompt: number, answer: number) => promptExample(new Int32Array(prompt).fill(1), new Int32Array(answer).fill(2));
const numbers = (tensor: unknown): number[] => Array.from((tensor as HostTensor).data as Float32Array);
const batches = (tasks: readonly Task[], change: object = {}) => taskBatches({ tasks, batchSize: 2, padding: 0, positions: 40, seed: 1, ...change });

describe('taskBatches', () => {
  it('weighs the mean over each task\'s own tokens by its share', () => {
    const tasks = [
      { examples: [example(3, 2), example(5, 1)], share: 0.25 },
      { examples: [example(3, 20), example(5, 30)], share: 0.75 },
    ];
    const [short, ...long] = batches(tasks, { microBatch: 2 })(0);
    expect(short!.ids.shape).toEqual([2, 16]);
    const weights = numbers(short!.inputs['weights']);
    expect(weights.filter((weight) => weight > 0)).toEqual(new Array(3).fill(Math.fround(0.25 / 3)));
    expect(long.flatMap(({ inputs }) => numbers(inputs['weights'])).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(0.75, 5);
  });

  it('cuts batches by length and pads them to what they need', () => {
    const examples = [example(3, 2), example(30, 3), example(2, 2), example(31, 4)];
    const shapes = batches([{ examples, share: 1 }], { batchSize: 4, microBatch: 2 })(0).map(({ ids }) => ids.shape);
    expect(shapes).toEqual([[2, 16], [2, 40]]);
  });

  it('leaves out what has no share, and goes through tasks side by side', () => {
    const tasks = (share: number): Task[] => [
      { examples: [example(1, 1), example(2, 1), example(3, 1)], share },
      { examples: [example(1, 5), example(2, 5), example(3, 5)], share: 1 - share },
    ];
    expect(batches(tasks(1))(0)).toHaveLength(1);
    const [left, right] = batches(tasks(0.5), { batchSize: 1 })(1);
    const prompt = (batch: typeof left): number => Array.from(batch!.ids.data as BigInt64Array).filter((id) => id === 1n).length;
    expect(prompt(left)).toBe(prompt(right));
    expect(() => batches([{ examples: [], share: 1 }])).toThrow('no task has examples');
  });

  it('tells tasks apart by what they hold', () => {
    const identity = (share: number, answer: number): string => tasksIdentity([{ share, examples: [example(2, answer)] }]);
    expect(identity(0.5, 3)).toBe(identity(0.5, 3));
    expect(new Set([identity(0.5, 3), identity(0.4, 3), identity(0.5, 4), tasksIdentity([])]).size).toBe(4);
  });
});
