import type { QuantizedWeight } from '@pare/core';
import { createColumnSolver, referenceColumnSolver } from '@pare/solvers';
import { dequantize } from '@pare/weights';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { gptq } from './technique.js';
import { gramMatrix, moduleInfo, options, readGolden, testContext } from './testing.js';

type Report = Record<string, Record<string, number>>;

const report = JSON.parse(await readFile(path.join(import.meta.dirname, '../../../packages/testkit/fixtures/golden/golden_report.json'), 'utf8')) as Report;
const kernels = createColumnSolver({ threads: 0 });
const threads = createColumnSolver({ threads: 2 });

afterAll(async () => {
  await kernels.dispose();
  await threads.dispose();
});

const variants = [
  ...[true, false].flatMap((symmetric) =>
    [false, true].flatMap((actOrder) =>
      [false, true].map((staticGroups) => ({
        name: `gptq4_${symmetric ? 'sym' : 'asym'}_${actOrder ? 'act' : 'noact'}_${staticGroups ? 'static' : 'dynamic'}`,
        bits: 4,
        symmetric,
        actOrder,
        staticGroups,
      })),
    ),
  ),
  { name: 'gptq3_sym_noact_dynamic', bits: 3, symmetric: true, actOrder: false, staticGroups: false },
];

/** Rows of A·H dotted with rows of A, summed: tr(A·H·Aᵀ). */
function energy(a: Float64Array, hessian: Float64Array, size: number): number {
  let sum = 0;
  const product = new Float64Array(size);
  for (let row = 0; row < a.length; row += size) {
    product.fill(0);
    for (let k = 0; k < size; k++) {
      const factor = a[row + k]!;
      if (factor === 0) continue;
      for (let j = 0; j < size; j++) product[j]! += factor * hessian[k * size + j]!;
    }
    for (let j = 0; j < size; j++) sum += product[j]! * a[row + j]!;
  }
  return sum;
}

describe.each(['l0_q', 'l5_down'])('GPTQ on the statistics of %s', async (layer) => {
  const stats = await readGolden(`stats_${layer}`);
  const golden = await readGolden(`golden_${layer}`);
  const weight = stats('W').data as Float32Array;
  const shape = stats('W').shape as readonly [number, number];
  const hessian = stats('H').data as Float64Array;
  const size = shape[1];
  const whole = energy(Float64Array.from(weight), hessian, size);

  const run = async (variant: (typeof variants)[number], solver = kernels): Promise<QuantizedWeight> => {
    const { name: _, ...chosen } = variant;
    // The golden Hessian is 2/N · XᵀX already; two rows leave it as it is.
    const module = {
      info: moduleInfo('layer', shape),
      options: options({ ...chosen, groupSize: 64, scaleType: 'float32', minimumTokens: 1 }),
      weight,
      gram: gramMatrix(hessian, 2),
    };
    const { context, results } = testContext([module], { capability: solver });
    await gptq.apply(context);
    return results.get('layer')!.form as QuantizedWeight;
  };

  it.each(variants)('matches $name', async (variant) => {
    const form = await run(variant);
    const codes = golden(`${variant.name}.codes`).data;
    const middle = variant.symmetric ? 2 ** (variant.bits - 1) : 0;
    let equal = 0;
    for (let index = 0; index < codes.length; index++) if (form.codes[index] === Number(codes[index]) + middle) equal += 1;
    expect(equal / codes.length).toBeGreaterThanOrEqual(0.995);
    const values = dequantize(form);
    const error = energy(Float64Array.from(weight, (value, index) => value - values[index]!), hessian, size) / whole;
    expect(Math.abs(error / report[layer]![variant.name]! - 1)).toBeLessThan(0.005);
    const scales = golden(`${variant.name}.scales`).data as Float32Array;
    const close = scales.filter((scale, index) => Math.abs(form.scales[index]! / scale - 1) < 1e-5).length;
    expect(close / scales.length).toBeGreaterThan(0.99);
    if (variant.actOrder && !variant.staticGroups) expect(form.groupIndex).toEqual(golden(`${variant.name}.g_idx`).data);
    else expect(form.groupIndex).toBeUndefined();
  });

  it('gives the same bits with the reference solver and with threads', async () => {
    if (layer === 'l0_q') expect(await run(variants[2]!, referenceColumnSolver)).toEqual(await run(variants[2]!));
    else expect(await run(variants[8]!, threads)).toEqual(await run(variants[8]!));
  });
});
