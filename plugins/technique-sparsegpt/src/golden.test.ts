import { referenceBackend } from '@pare/backend-reference';
import { float32Tensor, type GramMatrix, type SparseWeight } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { fixtures, runTechnique } from '@pare/testkit';
import { denseFloat32 } from '@pare/weights';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { sparsegpt, sparsegptOptions, type SparsegptOptions } from './index.js';

const folder = path.join(fixtures.root, 'golden');
const report = JSON.parse(await readFile(path.join(folder, 'golden_report.json'), 'utf8')) as Record<string, Record<string, number>>;
const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

/** tr(A·H·Aᵀ). */
function energy(a: Float32Array, hessian: Float64Array, size: number): number {
  let sum = 0;
  for (let row = 0; row < a.length; row += size) {
    const product = new Float64Array(size);
    for (let k = 0; k < size; k++) for (let j = 0; j < size && a[row + k] !== 0; j++) product[j]! += a[row + k]! * hessian[k * size + j]!;
    for (let j = 0; j < size; j++) sum += product[j]! * a[row + j]!;
  }
  return sum;
}

// Independent float64 results for two layers of tales-7m, blocks of 128 columns, damping 0.01.
describe.each(['l0_q', 'l5_down'])('SparseGPT on the statistics of %s', async (layer) => {
  await using stats = await SafetensorsFile.open(path.join(folder, `stats_${layer}.safetensors`));
  const { data, shape } = await stats.read('W');
  const weight = data as Float32Array;
  const size = shape[1]!;
  const hessian = (await stats.read('H')).data as Float64Array;

  const run = async (options: Partial<SparsegptOptions>): Promise<SparseWeight> => {
    await using backend = await referenceBackend.create({}, { log });
    using matrix = backend.write({ dtype: 'float64', shape: [size, size], data: hessian });
    // The golden Hessian is 2/N · XᵀX already; two rows leave it as it is.
    const gram: GramMatrix = { matrix, rows: 2 };
    const modules = { layer: { weight: float32Tensor(shape, weight), statistics: { gram } } };
    const results = await runTechnique(sparsegpt, { options: sparsegptOptions.parse({ minimumTokens: 1, ...options }), modules, backend });
    return results.get('layer')!.form as SparseWeight;
  };

  it.each([
    ['sparsegpt50', { sparsity: 0.5 }],
    ['sparsegpt24', { pattern: '2:4' }],
  ])('matches the mask and weights of %s', async (name, options) => {
    await using golden = await SafetensorsFile.open(path.join(folder, `golden_${layer}.safetensors`));
    const pruned = (await golden.read(`${name}.mask_pruned`)).data as Uint8Array;
    const expected = (await golden.read(`${name}.weight`)).data as Float32Array;
    const { mask, values } = await run(options);
    const result = denseFloat32(values);
    let [equal, furthest] = [0, 0];
    for (let index = 0; index < mask.length; index++) {
      if (mask[index] !== 1 - pruned[index]!) continue;
      equal += 1;
      furthest = Math.max(furthest, Math.abs(result[index]! - expected[index]!));
    }
    expect(equal / mask.length).toBeGreaterThanOrEqual(0.999);
    expect(furthest).toBeLessThan(1e-3);
    const error = energy(weight.map((value, index) => value - result[index]!), hessian, size) / energy(weight, hessian, size);
    expect(Math.abs(error / report[layer]![name]! - 1)).toBeLessThan(1e-3);
  });
});
