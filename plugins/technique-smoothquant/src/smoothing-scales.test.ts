import { createRandom, float32Tensor, type InputQuantization } from '@pare/core';
import { GraphBuilder } from '@pare/graph';
import { SafetensorsFile } from '@pare/model';
import { evaluateGraph } from '@pare/operators';
import { fixtures } from '@pare/testkit';
import { dynamicTokenInput, lowerLinear, quantizeMatrix, staticTensorInput } from '@pare/weights';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { smoothingScales } from './smoothing-scales.js';

/** Largest magnitude of each column of a matrix [rows, columns]. */
function columnMaxima(values: ArrayLike<number>, columns: number): Float32Array {
  const maxima = new Float32Array(columns);
  for (let index = 0; index < values.length; index++) maxima[index % columns] = Math.max(maxima[index % columns]!, Math.abs(values[index]!));
  return maxima;
}

/** A matrix with each column times a factor. */
const times = (values: ArrayLike<number>, factors: Float64Array): Float32Array => Float32Array.from(values, (value, index) => value * factors[index % factors.length]!);

function randomValues(count: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => random() + random() + random() - 1.5);
}

describe('smoothingScales', () => {
  it("gives the paper's example", () => {
    // Figure 5, with W turned over: rows are outputs here.
    const x = [1, -16, 2, 6, -2, 8, -1, -9];
    const weight = [2, 1, 2, -1, 1, -1, -1, -1, -2, -1, -2, 1];
    const inputs = columnMaxima(x, 4);
    const weights = columnMaxima(weight, 4);
    expect([...inputs]).toEqual([2, 16, 2, 9]);
    expect([...weights]).toEqual([2, 1, 2, 1]);
    const scales = smoothingScales(inputs, weights, 0.5);
    expect([...scales]).toEqual([1, 4, 1, 3]);
    const product = (a: ArrayLike<number>, b: ArrayLike<number>): number[] =>
      [0, 1].flatMap((row) => [0, 1, 2].map((output) => [0, 1, 2, 3].reduce((sum, k) => sum + a[row * 4 + k]! * b[output * 4 + k]!, 0)));
    const divided = times(x, scales.map((scale) => 1 / scale));
    for (const [index, value] of product(divided, times(weight, scales)).entries()) expect(value).toBeCloseTo(product(x, weight)[index]!, 5);
    expect(Math.max(...columnMaxima(divided, 4))).toBe(4);
  });

  it('leaves inputs and weights of equal size at strength 0.5, of size 1 at the ends', () => {
    const inputs = randomValues(64, 1).map((value) => 10 * Math.abs(value) + 0.01);
    const weights = randomValues(64, 2).map((value) => Math.abs(value) / 10 + 0.001);
    const half = smoothingScales(inputs, weights, 0.5);
    const all = smoothingScales(inputs, weights, 1);
    const none = smoothingScales(inputs, weights, 0);
    for (let channel = 0; channel < 64; channel++) {
      const [a, w] = [inputs[channel]!, weights[channel]!];
      expect(a / half[channel]!).toBeCloseTo(Math.sqrt(a * w), 6);
      expect(w * half[channel]!).toBeCloseTo(Math.sqrt(a * w), 6);
      expect(a / all[channel]!).toBeCloseTo(1, 9);
      expect(w * none[channel]!).toBeCloseTo(1, 9);
    }
  });

  it('leaves channels alone that are always zero or read by nothing, and never goes to zero', () => {
    expect([...smoothingScales(Float32Array.of(0, 3, 0, 1e-30), Float32Array.of(2, 0, 0, 1e10), 0.5)]).toEqual([1, 1, 1, 1e-5]);
  });

  it.each([
    ['l0_q', ['W', 'W_k', 'W_v']],
    ['l5_gate', ['W', 'W_up']],
  ])('matches independent scales for %s of tales-7m', async (layer, names) => {
    await using stats = await SafetensorsFile.open(path.join(fixtures.golden, `stats_${layer}.safetensors`));
    await using golden = await SafetensorsFile.open(path.join(fixtures.golden, `golden_scales_${layer}.safetensors`));
    const inputs = (await stats.read('x_absmax')).data as Float32Array;
    const weights = new Float32Array(inputs.length);
    for (const name of names) columnMaxima((await stats.read(name)).data as Float32Array, inputs.length).forEach((value, column) => (weights[column] = Math.max(weights[column]!, value)));
    for (const strength of [0.5, 0.8]) {
      const expected = (await golden.read(`smoothquant_a${String(strength)}.scales`)).data as Float32Array;
      const scales = smoothingScales(inputs, weights, strength);
      for (const [channel, scale] of scales.entries()) expect(Math.abs(scale / expected[channel]! - 1)).toBeLessThan(1e-5);
    }
  });

  it('saves a layer from one input that is a hundred times larger than the others', () => {
    const [tokens, columns, rows] = [64, 48, 32];
    const x = randomValues(tokens * columns, 3);
    for (let token = 0; token < tokens; token++) x[token * columns + 5]! *= 100;
    const weight = randomValues(rows * columns, 4);
    /** Σ (ŷ − y)² with weights on one grid and inputs rounded as told. */
    const error = (inputs: Float32Array, weights: Float32Array, grid: (inputs: Float32Array) => InputQuantization): number => {
      const form = { ...quantizeMatrix(weights, [rows, columns], { bits: 8, symmetric: true, granularity: 'tensor' }, 'float32'), input: grid(inputs) };
      const builder = new GraphBuilder('layer');
      builder.output(lowerLinear(builder, builder.input('x', 'float32', [tokens, columns]), form, 'w'), 'y');
      const found = evaluateGraph(builder.build(), { x: float32Tensor([tokens, columns], inputs) })['y']!.data as Float32Array;
      let sum = 0;
      for (let token = 0; token < tokens; token++) {
        for (let row = 0; row < rows; row++) {
          let y = 0;
          for (let column = 0; column < columns; column++) y += x[token * columns + column]! * weight[row * columns + column]!;
          sum += (found[token * rows + row]! - y) ** 2;
        }
      }
      return sum;
    };
    const scales = smoothingScales(columnMaxima(x, columns), columnMaxima(weight, columns), 0.5);
    const smooth = [times(x, scales.map((scale) => 1 / scale)), times(weight, scales)] as const;
    const still = (inputs: Float32Array): InputQuantization => staticTensorInput(Math.max(...inputs.map(Math.abs)), 'float32');
    expect(error(...smooth, still)).toBeLessThan(error(x, weight, still) / 5);
    expect(error(...smooth, () => dynamicTokenInput)).toBeLessThan(error(x, weight, () => dynamicTokenInput) / 5);
  });
});
