import { cpuBackend, cpuOptions } from '@pare/backend-cpu';
import { float32Tensor } from '@pare/core';
import { ExecutableCache, SafetensorsFile } from '@pare/model';
import { fixtures } from '@pare/testkit';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DeviceLosses } from './device-losses.js';
import { searchScales } from './scale-grid.js';
import { roundingError } from './trial-rounding.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const report = JSON.parse(await readFile(path.join(fixtures.golden, 'golden_report.json'), 'utf8')) as Record<string, Record<string, number>>;

// The golden losses are those of the layers that share an input: the objective `layers` of the technique, made of the same parts.
describe.each([
  ['l0_q', ['W', 'W_k', 'W_v']],
  ['l5_gate', ['W', 'W_up']],
] as const)('the scale search on the statistics of %s', (layer, matrices) => {
  it.each([true, false])('matches exponent, losses and scales, symmetric: %s', async (symmetric) => {
    await using stats = await SafetensorsFile.open(path.join(fixtures.golden, `stats_${layer}.safetensors`));
    await using golden = await SafetensorsFile.open(path.join(fixtures.golden, `golden_scales_${layer}.safetensors`));
    await using grid = await SafetensorsFile.open(path.join(import.meta.dirname, '../fixtures/grid-scales.safetensors'));
    const { data, shape } = await stats.read('H');
    const columns = shape[1]!;
    const weights: Float32Array[] = [];
    for (const name of matrices) weights.push((await stats.read(name)).data as Float32Array);
    await using backend = await cpuBackend.create(cpuOptions.parse({}), { log });
    await using executables = new ExecutableCache(backend);
    const losses = new DeviceLosses(executables);
    using gram = backend.write(float32Tensor(shape, Float32Array.from(data as Float64Array)));
    const lossOf = async (scales: Float64Array): Promise<number> => {
      let sum = 0;
      for (const weight of weights) sum += await losses.trace(float32Tensor([weight.length / columns, columns], roundingError(weight, columns, scales, { bits: 4, symmetric, groupSize: 64 })), gram);
      return sum;
    };
    const tag = symmetric ? 'sym' : 'asym';
    const expected = (await golden.read(`awq4_${tag}.losses`)).data as Float64Array;
    const numpyScales = (await grid.read(layer)).data as Float64Array;
    const found: number[] = [];
    const magnitudes = (await stats.read('x_absmean')).data as Float64Array;
    const chosen = await searchScales(magnitudes, 20, async (scales) => {
      const same = numpyScales.slice(found.length * columns, (found.length + 1) * columns);
      for (const [column, scale] of scales.entries()) expect(Math.abs(scale / same[column]! - 1)).toBeLessThan(1e-14);
      const loss = await lossOf(same);
      expect(Math.abs(loss / expected[found.length]! - 1), `exponent ${String(found.length / 20)}`).toBeLessThan(1e-6);
      found.push(loss);
      return lossOf(scales);
    });
    expect(found).toHaveLength(20);
    expect(chosen!.exponent).toBe(report[layer]![`awq4_${tag}.alpha`]);
    const scales = (await golden.read(`awq4_${tag}.scales`)).data as Float32Array;
    for (const [index, scale] of chosen!.scales.entries()) expect(Math.abs(scale / scales[index]! - 1)).toBeLessThan(1e-5);
  });
});
