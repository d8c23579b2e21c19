import { referenceBackend } from '@pare/backend-reference';
import { float32Tensor, type SparseWeight } from '@pare/core';
import { SafetensorsFile } from '@pare/model';
import { fixtures, runTechnique } from '@pare/testkit';
import { denseFloat32 } from '@pare/weights';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { magnitude, magnitudeOptions } from './index.js';

const folder = path.join(fixtures.root, 'golden');
const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };

describe.each(['l0_q', 'l5_down'])('magnitude pruning of %s', (layer) => {
  it('matches the mask of the layer, with survivors as they were', async () => {
    await using stats = await SafetensorsFile.open(path.join(folder, `stats_${layer}.safetensors`));
    await using golden = await SafetensorsFile.open(path.join(folder, `golden_${layer}.safetensors`));
    const { data, shape } = await stats.read('W');
    const weight = data as Float32Array;
    await using backend = await referenceBackend.create({}, { log });
    const modules = { layer: { weight: float32Tensor(shape, weight) } };
    const { mask, values } = (await runTechnique(magnitude, { options: magnitudeOptions.parse({}), modules, backend })).get('layer')!.form as SparseWeight;
    const pruned = (await golden.read('magnitude50_layer.mask_pruned')).data as Uint8Array;
    expect(mask).toEqual(pruned.map((entry) => 1 - entry));
    expect(denseFloat32(values)).toEqual(weight.map((value, index) => (mask[index] === 1 ? value : 0)));
  });
});
