import { referenceBackend } from '@pare/backend-reference';
import { createRandom, float32Tensor, type Backend, type HostTensor, type ModulePlan, type SparseWeight } from '@pare/core';
import { gptq, gptqOptions } from '@pare/technique-gptq';
import { rtn, rtnOptions } from '@pare/technique-rtn';
import { outputError, runTechnique, type LoneModule, type LoneResult } from '@pare/testkit';
import { countPruned, denseFloat32, quantizedPart, sparseWeight, denseWeight, storedBits, pruneMatrix } from '@pare/weights';
import { describe, expect, it } from 'vitest';
import { sparsegpt, sparsegptOptions, type SparsegptOptions } from './index.js';

const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const makeBackend = (): Promise<Backend> => Promise.resolve(referenceBackend.create({}, { log }));

function randomMatrix(rows: number, columns: number, seed: number): HostTensor & { readonly data: Float32Array } {
  const random = createRandom(seed);
  return float32Tensor([rows, columns], Float32Array.from({ length: rows * columns }, () => random() + random() - 1));
}

type Pruned = LoneResult & { readonly form: SparseWeight };

async function prune(module: LoneModule, options: Partial<SparsegptOptions> = {}): Promise<Pruned> {
  await using backend = await makeBackend();
  const results = await runTechnique(sparsegpt, { options: sparsegptOptions.parse(options), modules: { layer: module }, backend });
  return results.get('layer')! as Pruned;
}

/** Correlated inputs whose features differ in size. */
function correlated(tokens: number, columns: number): HostTensor & { readonly data: Float32Array } {
  const hidden = randomMatrix(tokens, 12, 3).data;
  const mixing = randomMatrix(12, columns, 4).data;
  const noise = randomMatrix(tokens, columns, 5).data;
  const random = createRandom(6);
  const scales = Float32Array.from({ length: columns }, () => 5 ** (2 * random() - 1));
  return float32Tensor(
    [tokens, columns],
    noise.map((value, index) => {
      const [token, column] = [Math.floor(index / columns), index % columns];
      let sum = 0.3 * value;
      for (let k = 0; k < 12; k++) sum += hidden[token * 12 + k]! * mixing[k * columns + column]!;
      return sum * scales[column]!;
    }),
  );
}

const [rows, columns] = [32, 64];
const weight = randomMatrix(rows, columns, 1);
const inputs = correlated(200, columns);
const module = { weight, inputs };

describe('sparsegpt', () => {
  it('orders the layer error: unstructured < 4:8 < 2:4, each below magnitude pruning of its kind', async () => {
    const error = async (options: Partial<SparsegptOptions>): Promise<number> => outputError((await prune(module, options)).form, module);
    const [free, eight, four] = [await error({}), await error({ pattern: '4:8' }), await error({ pattern: '2:4' })];
    expect(free).toBeLessThan(eight);
    expect(eight).toBeLessThan(four);
    const mask = pruneMatrix([rows, columns], (row, into) => into.set(weight.data.subarray(row * columns, (row + 1) * columns).map(Math.abs)), (rows * columns) / 2);
    expect(four).toBeLessThan(outputError(sparseWeight(denseWeight(weight.data, [rows, columns], 'float32'), { kind: 'unstructured' }, mask), module));
  });

  it('reports twice the mean squared change of the outputs, damping included', async () => {
    const { form, report } = await prune(module, { damping: 1e-6 });
    expect(report.loss! / ((2 / 200) * outputError(form, module))).toBeCloseTo(1, 3);
    expect(report.details).toEqual({ damping: 1e-6, tokens: 200 });
  });

  it('compensates better than it would with its mask alone', async () => {
    const { form } = await prune(module);
    expect(outputError(form, module)).toBeLessThan(outputError(sparseWeight(denseWeight(weight.data, [rows, columns], 'float32'), form.pattern, form.mask), module));
  });

  it('does better in one pass than rounding afterwards, with zeros exactly zero', async () => {
    const joint = (await prune(module, { bits: 4 })).form;
    expect(quantizedPart(joint)!.scheme).toMatchObject({ bits: 4, symmetric: false, granularity: 'channel' });
    expect(denseFloat32(joint).every((value, index) => joint.mask[index] === 1 || value === 0)).toBe(true);
    const first = (await prune(module)).form;
    await using backend = await makeBackend();
    const options = rtnOptions.parse({ bits: 4, groupSize: -1, symmetric: false });
    const rounded = await runTechnique(rtn, { options, modules: { layer: { ...module, weight: float32Tensor([rows, columns], denseFloat32(first)) } }, backend });
    expect(outputError(joint, module)).toBeLessThan(outputError(rounded.get('layer')!.form, module));
  });

  it.each(['gptq', 'rtn'])('2:4, then 4 bits with %s: the mask stays exactly, the plan keeps its word', async (quantizer) => {
    const options = sparsegptOptions.parse({ pattern: '2:4' });
    const { form } = await prune(module, { pattern: '2:4' });
    const info = { name: 'layer', shape: [rows, columns], dtype: 'float32' } as never;
    const [before] = sparsegpt.plan([{ info, options }], {} as never) as [ModulePlan];
    const pruned = { ...module, weight: float32Tensor([rows, columns], denseFloat32(form)), form, before };
    await using backend = await makeBackend();
    const quantized =
      quantizer === 'gptq'
        ? await runTechnique(gptq, { options: gptqOptions.parse({ groupSize: 16, staticGroups: false, actOrder: false }), modules: { layer: pruned }, backend })
        : await runTechnique(rtn, { options: rtnOptions.parse({ groupSize: 16 }), modules: { layer: pruned }, backend });
    const result = quantized.get('layer')!.form as SparseWeight;
    expect(result).toMatchObject({ form: 'sparse', pattern: form.pattern, mask: form.mask });
    expect(denseFloat32(result).every((value, index) => form.mask[index] === 1 || value === 0)).toBe(true);
    const [plan] = quantizer === 'gptq' ? gptq.plan([{ info, options: gptqOptions.parse({ groupSize: 16 }), before }], {} as never) : rtn.plan([{ info, options: rtnOptions.parse({ groupSize: 16 }), before }], {} as never);
    expect(plan).toMatchObject({ produces: 'sparse', bits: 4, groupSize: 16, storedBits: storedBits(result) });
  });

  it('prunes and counts dead inputs', async () => {
    const dead = float32Tensor(inputs.shape, inputs.data.map((value, index) => (index % columns === 7 ? 0 : value)));
    const { form, report } = await prune({ weight, inputs: dead });
    expect(denseFloat32(form).every((value, index) => index % columns !== 7 || value === 0)).toBe(true);
    expect(report.details).toMatchObject({ deadInputs: 1 });
  });

  it('takes constant inputs and duplicates', async () => {
    const flat = float32Tensor(inputs.shape, inputs.data.map((value, index) => (index % columns < 6 ? 1 : value)));
    const { form } = await prune({ weight, inputs: flat });
    expect(countPruned(form.mask)).toBe((rows * columns) / 2);
    expect(denseFloat32(form).every(Number.isFinite)).toBe(true);
  });

  it('prunes by magnitude where too few tokens were seen, and says so', async () => {
    const few = await prune({ weight, inputs: correlated(20, columns) }, { bits: 4 });
    expect(few.report.fallback).toBe('only 20 calibration tokens reached it, minimumTokens is 32; pruned by magnitude and rounded to nearest');
    expect(countPruned(few.form.mask)).toBe((rows * columns) / 2);
    expect((await prune({ weight }, { pattern: '2:4' })).report.fallback).toBe('no calibration token reached it; pruned by magnitude');
  });

  it('refuses activations that overflow, naming the module', async () => {
    const infinite = float32Tensor(inputs.shape, inputs.data.map((value, index) => (index % columns === 9 ? 3e38 : value)));
    await expect(prune({ weight, inputs: infinite })).rejects.toMatchObject({ code: 'PARE_STATISTIC_NOT_FINITE', place: { module: 'layer' } });
  });
});
