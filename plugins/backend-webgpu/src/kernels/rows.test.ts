import { evaluateOperator, randomFloats, relativeError, runProgram } from '@pare/conformance';
import type { GraphNode, HostTensor } from '@pare/core';
import type { DeviceTraits, NormalizationRequest } from '@pare/executor';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { normalization } from './normalization.js';
import { softmax } from './softmax.js';
import { guaranteedTraits, testDevice, tinyTraits } from './testing.js';

// A software device takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 240_000 });
const gpu = await testDevice();
afterAll(() => gpu.destroy());

const shapes = [
  [1, 1],
  [3, 2],
  [5, 17],
  [64, 33],
  [1, 257],
  [7, 300],
  [3, 4097],
  [6000, 3],
] as const;
const settings = [
  { name: 'in one piece', traits: guaranteedTraits },
  { name: 'in windows of 64 KiB', traits: tinyTraits },
];

function reference(operator: string, attributes: GraphNode['attributes'], shape: readonly [number, number], inputs: readonly Float32Array[], outputs = 1): HostTensor[] {
  return evaluateOperator(operator, attributes, inputs.map((data, index) => ({ dtype: 'float32', shape: index === 0 ? shape : [shape[1]], data })), outputs);
}

describe.each(settings)('softmax $name', ({ traits }) => {
  const check = async (shape: readonly [number, number], x: Float32Array, tolerance: number): Promise<void> => {
    for (const logarithm of [false, true]) {
      const y = new Float32Array(x.length).fill(7);
      await runProgram(gpu.runner, softmax({ rows: shape[0], columns: shape[1], logarithm }, traits), { x, y });
      expect(relativeError(y, reference(logarithm ? 'LogSoftmax' : 'Softmax', {}, shape, [x])[0]!.data as Float32Array)).toBeLessThan(tolerance);
    }
  };

  it.each(shapes)('of [%i, %i]', (rows, columns) => check([rows, columns], randomFloats(rows * columns, 5, 8), 2e-6));

  it('does not overflow', async () => {
    await check([2, 5], Float32Array.of(1000, 1001, 999, 1000, 990, -1000, -1001, -1000, -999, -1010), 2e-6);
    await check([1, 40], Float32Array.from({ length: 40 }, (_, index) => (index === 39 ? 3e38 : -3e38)), 2e-6);
  });

  it('gives keys at minus infinity nothing', async () => {
    const x = randomFloats(600, 3);
    for (let index = 0; index < 600; index++) if (index % 3 !== 0 || index < 250) x[index] = -Infinity;
    const y = new Float32Array(600);
    await runProgram(gpu.runner, softmax({ rows: 2, columns: 300, logarithm: false }, traits), { x, y });
    expect(relativeError(y, reference('Softmax', {}, [2, 300], [x])[0]!.data as Float32Array)).toBeLessThan(2e-6);
  });

  it('has nothing to do without elements', () => {
    expect(softmax({ rows: 0, columns: 4, logarithm: false }, traits).dispatches).toEqual([]);
    expect(softmax({ rows: 4, columns: 0, logarithm: false }, traits).dispatches).toEqual([]);
  });
});

it('refuses a row that is longer than a binding', () => {
  expect(() => softmax({ rows: 2, columns: 20_000, logarithm: false }, tinyTraits)).toThrow(RangeError);
});

describe.each(settings)('normalisation $name', ({ traits }) => {
  const check = async (shape: readonly [number, number], x: Float32Array, request: Partial<NormalizationRequest>, device: DeviceTraits = traits): Promise<void> => {
    const [rows, columns] = shape;
    const full: NormalizationRequest = { rows, columns, epsilon: 1e-5, kind: 'layer', scale: true, bias: true, mean: true, inverse: true, ...request };
    const scale = full.scale ? randomFloats(columns, 11) : new Float32Array(columns).fill(1);
    const bias = full.bias ? randomFloats(columns, 12) : new Float32Array(columns);
    const [y, mean, inverse] = [new Float32Array(x.length), new Float32Array(rows), new Float32Array(rows)];
    await runProgram(gpu.runner, normalization(full, device), { x, y, mean, inverse, scale, bias });
    if (full.kind === 'layer') {
      const expected = reference('LayerNormalization', { epsilon: full.epsilon }, shape, [x, scale, bias], 3);
      expect(relativeError(y, expected[0]!.data as Float32Array)).toBeLessThan(3e-6);
      if (full.mean) expect(relativeError(mean, expected[1]!.data as Float32Array)).toBeLessThan(3e-6);
      if (full.inverse) expect(relativeError(inverse, expected[2]!.data as Float32Array)).toBeLessThan(3e-6);
    } else {
      const expected = reference('SimplifiedLayerNormalization', { epsilon: full.epsilon }, shape, [x, scale], 2);
      expect(relativeError(y, (expected[0]!.data as Float32Array).map((value, index) => value + bias[index % columns]!))).toBeLessThan(3e-6);
      if (full.inverse) expect(relativeError(inverse, expected[1]!.data as Float32Array)).toBeLessThan(3e-6);
    }
  };

  it.each(shapes)('of [%i, %i]', async (rows, columns) => {
    await check([rows, columns], randomFloats(rows * columns, 5, 8), { kind: 'layer', epsilon: 1e-3 });
    await check([rows, columns], randomFloats(rows * columns, 6, 8), { kind: 'rms', mean: false, epsilon: 1e-3 });
  });

  it.each(['layer', 'rms'] as const)('of kind %s with and without parameters and statistics', async (kind) => {
    for (let bits = 0; bits < 16; bits++) {
      const [scale, bias, mean, inverse] = [1, 2, 4, 8].map((bit) => (bits & bit) !== 0) as [boolean, boolean, boolean, boolean];
      await check([3, 20], randomFloats(60, bits), { kind, scale, bias, mean: mean && kind === 'layer', inverse });
    }
  });

  it('keeps the variance of values far from 0', async () => {
    await check([2, 1000], randomFloats(2000, 5).map((value) => value + 256), { kind: 'layer' });
  });

  it('has nothing to do without elements', () => {
    const request = { rows: 0, columns: 4, epsilon: 1, kind: 'rms', scale: true, bias: false, mean: false, inverse: false } as const;
    expect(normalization(request, traits).dispatches).toEqual([]);
    expect(normalization({ ...request, rows: 2, columns: 0 }, traits).dispatches).toEqual([]);
  });
});
