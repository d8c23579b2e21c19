import { referenceBackend } from '@pare/backend-reference';
import { float32Tensor, type SparseWeight } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { fixtures, runTechnique } from '@pare/testkit';
import { denseFloat32 } from '@pare/weights';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { wanda, wandaOptions } from './index.js';

const folder = path.join(fixtures.root, 'golden');
const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

describe.each(['l0_q', 'l5_down'])('Wanda on the statistics of %s', (layer) => {
  it('matches the mask, with survivors as they were', async () => {
    await using stats = await SafetensorsFile.open(path.join(folder, `stats_${layer}.safetensors`));
    await using golden = await SafetensorsFile.open(path.join(folder, `golden_${layer}.safetensors`));
    const { data, shape } = await stats.read('W');
    const weight = data as Float32Array;
    const hessian = (await stats.read('H')).data as Float64Array;
    const size = shape[1]!;
    const squares = Float32Array.from({ length: size }, (_, column) => hessian[column * (size + 1)]!);
    await using backend = await referenceBackend.create({}, { log });
    const modules = { layer: { weight: float32Tensor(shape, weight), statistics: { 'square-sum': { values: squares, rows: 64 } } } };
    const { mask, values } = (await runTechnique(wanda, { options: wandaOptions.parse({}), modules, backend })).get('layer')!.form as SparseWeight;
    const pruned = (await golden.read('wanda50.mask_pruned')).data as Uint8Array;
    let equal = 0;
    for (let index = 0; index < mask.length; index++) if (mask[index] === 1 - pruned[index]!) equal += 1;
    expect(equal / mask.length).toBeGreaterThanOrEqual(0.999);
    expect(denseFloat32(values)).toEqual(weight.map((value, index) => (mask[index] === 1 ? value : 0)));
  });
});
